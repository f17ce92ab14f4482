//! How the organisation behaves: every point on which the real one is unsure, or has changed, is a
//! setting here.

use serde::{Deserialize, Serialize};

/// What the Admin API can do, by the month in which it learned it. Each can do what the ones before
/// it could.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Generation {
    /// Before July 2026: a service account gets its key when it is made, and no other; its key can't
    /// be deleted alone (400), and nothing expires.
    Old,
    /// July 2026: more keys for a service account, `owner_project_access`.
    July,
    /// September 2026: keys expire.
    September,
    /// October 2026: keys can be changed, and a service account's key deleted.
    #[default]
    New,
}

impl Generation {
    /// All of them, oldest first.
    pub const ALL: [Self; 4] = [Self::Old, Self::July, Self::September, Self::New];

    /// The word for it in scripts and arguments.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Old => "old",
            Self::July => "july",
            Self::September => "september",
            Self::New => "new",
        }
    }
}

/// Times are in milliseconds of the sandbox's clock.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// What the Admin API can do.
    pub generation: Generation,
    /// The most rows on a page, whatever `limit` asks for (1 to 100).
    pub page_size: usize,
    /// Requests a minute for each endpoint of the Admin API; 0 for no limit.
    pub per_minute: u32,
    /// Whether a 429 of the Admin API says `Retry-After`. The real one does not.
    pub retry_after: bool,
    /// How long a new key does not work yet.
    pub create_delay_ms: i64,
    /// How long a deleted key still works.
    pub delete_delay_ms: i64,
    /// During these delays, answers take turns between the old and the new state.
    pub flapping: bool,
    /// How long listings show the state before.
    pub listing_delay_ms: i64,
    /// How long usage and costs take to show.
    pub usage_lag_ms: i64,
    /// How long `last_used_at` takes to move.
    pub last_used_lag_ms: i64,
    /// Whether the audit log was switched on. Off, it is empty.
    pub audit_log: bool,
    /// How long the audit log takes to show an event.
    pub audit_lag_ms: i64,
    /// Whether a listing without `owner_project_access` leaves out keys whose owner has lost access
    /// to the project.
    pub hides_inactive: bool,
    /// Whether every object has a field that no document knows.
    pub unknown_fields: bool,
    /// Whether fields of a few known values (`type`, `role`, `status`) have one that no document knows.
    pub unknown_values: bool,
    /// Whether a new key must have an expiry.
    pub require_expiry: bool,
    /// The longest expiry that the organisation's policy allows, in seconds; 0 for any.
    pub longest_expiry_s: i64,
    /// Whether two service accounts of a project may not have one name.
    pub unique_names: bool,
    /// Whether a query parameter that the endpoint does not know is refused.
    pub strict: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            generation: Generation::New,
            page_size: 100,
            per_minute: 0,
            retry_after: false,
            create_delay_ms: 0,
            delete_delay_ms: 0,
            flapping: false,
            listing_delay_ms: 0,
            usage_lag_ms: 0,
            last_used_lag_ms: 0,
            audit_log: true,
            audit_lag_ms: 0,
            hides_inactive: true,
            unknown_fields: false,
            unknown_values: false,
            require_expiry: false,
            longest_expiry_s: 0,
            unique_names: false,
            strict: true,
        }
    }
}

impl Settings {
    /// The settings with those of `changes` (an object of some of the fields) in their place.
    ///
    /// # Errors
    ///
    /// A name that is no setting, or a value of the wrong type; nothing is changed then.
    pub fn changed(&self, changes: &serde_json::Value) -> Result<Self, serde_json::Error> {
        let mut all = serde_json::to_value(self)?;
        match (all.as_object_mut(), changes.as_object()) {
            (Some(all), Some(changes)) => {
                all.extend(changes.iter().map(|(k, v)| (k.clone(), v.clone())));
            }
            _ => return serde_json::from_value(changes.clone()),
        }
        serde_json::from_value(all)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn some_settings_can_be_changed_and_typos_are_errors() {
        let settings = Settings::default();
        let changed = settings
            .changed(&json!({"generation": "old", "page_size": 3}))
            .unwrap();
        assert_eq!(
            (changed.generation, changed.page_size),
            (Generation::Old, 3)
        );
        assert_eq!(
            Settings {
                page_size: 100,
                generation: Generation::New,
                ..changed
            },
            settings
        );
        for wrong in [
            json!({"page_sise": 3}),
            json!({"page_size": "x"}),
            json!([1]),
            json!(1),
        ] {
            assert!(settings.changed(&wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn generations_are_ordered_and_named_as_in_scripts() {
        assert!(Generation::ALL.is_sorted());
        for generation in Generation::ALL {
            assert_eq!(json!(generation), generation.as_str());
        }
    }
}
