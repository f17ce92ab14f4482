//! The gate that every start passes which nobody asked for: a key that is known to live, whose
//! record is confirmed, and that the policy names. What does not pass says why.

use crate::config::{Automatic, OwnerKind};
use crate::secret::Masked;
use crate::verdict::{Check, Match, Record, RecordKind, Witness};

/// Why a key is not rotated by itself.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Shut {
    /// Nobody knows that it lives, or it doesn't.
    #[error("it is not known to live ({0})")]
    NotLive(Masked),
    /// Its record is not confirmed.
    #[error("its record is not confirmed, but {0}")]
    NotConfirmed(&'static str),
    /// It is an admin key.
    #[error("it is an admin key, and those are never deleted here")]
    Admin,
    /// Its project is archived.
    #[error("its project is archived: no key can be made there")]
    Archived,
    /// The policy starts nothing.
    #[error(
        "nothing starts by itself: [policy.automatic] in your config.toml says for which `projects`"
    )]
    Off,
    /// The policy does not name its project.
    #[error("[policy.automatic] does not name its project, {0}")]
    Project(Masked),
    /// The policy does not name keys of this owner.
    #[error("[policy.automatic] does not name keys of its kind of owner, {0}")]
    Owner(Masked),
}

impl Shut {
    /// Whether the policy alone is in the way, so that a person may still want it.
    pub fn is_policy(&self) -> bool {
        matches!(self, Self::Off | Self::Project(_) | Self::Owner(_))
    }
}

/// The confirmed record of a key that lives; the first half of the gate, which no policy opens.
///
/// # Errors
/// Why it is none.
pub fn eligible(check: &Check) -> Result<&Record, Shut> {
    if !check.verdict.is_live() {
        return Err(Shut::NotLive(check.verdict.explain()));
    }
    let record = match &check.identity {
        // What an operator typed confirms what that operator does, not what is done by itself.
        Match::Confirmed(confirmed) if confirmed.witness() != Witness::Operator => {
            confirmed.record()
        }
        Match::Confirmed(_) => return Err(Shut::NotConfirmed("typed in")),
        other => return Err(Shut::NotConfirmed(other.as_str())),
    };
    match (record.kind, record.archived) {
        (RecordKind::Admin, _) => Err(Shut::Admin),
        (RecordKind::Project, true) => Err(Shut::Archived),
        (RecordKind::Project, false) => Ok(record),
    }
}

/// Whether the policy lets it start without asking; the second half of the gate.
///
/// # Errors
/// Why it does not.
pub fn allowed<'p>(policy: Option<&'p Automatic>, record: &Record) -> Result<&'p Automatic, Shut> {
    let policy = policy.ok_or(Shut::Off)?;
    let named = |text: &Option<Masked>| {
        text.as_ref().is_some_and(|text| {
            let is = |named: &String| named.as_bytes() == text.as_bytes();
            policy.projects.iter().any(is)
        })
    };
    let every = policy.projects.iter().any(|named| named == "*");
    if !(every || named(&record.project) || named(&record.project_name)) {
        let project = record.project.clone().unwrap_or_default();
        return Err(Shut::Project(project));
    }
    let owner = record.owner.as_ref().map(|owner| owner.kind.clone());
    let kind = match owner.as_ref().map(Masked::as_bytes) {
        Some(b"service_account") => Some(OwnerKind::ServiceAccount),
        Some(b"user") => Some(OwnerKind::User),
        _ => None,
    };
    match kind.is_some_and(|kind| policy.kinds.contains(&kind)) {
        true => Ok(policy),
        false => Err(Shut::Owner(owner.unwrap_or_default())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::verdict::{Evidence, Life, Listing, Owner, Seen, Unusable, Verdict, Why, decide};

    fn record() -> Record {
        let text = |text: &str| Some(Masked::vouched(text));
        Record {
            profile: "acme".to_owned(),
            organisation: text("acme"),
            kind: RecordKind::Project,
            project: text("proj_1"),
            project_name: text("Chat"),
            archived: false,
            id: Masked::vouched("key_1"),
            name: None,
            masked: Masked::vouched("sk-proj-***abcA"),
            owner: Some(Owner {
                kind: Masked::vouched("service_account"),
                id: text("user-1"),
                name: None,
                email: None,
                role: None,
            }),
            created_at: Some(1),
            last_used_at: None,
            expires_at: None,
            scopes: None,
        }
    }

    fn seen(rows: Vec<Record>, listing: Listing) -> Match {
        decide(Seen { rows, listing })
    }

    fn witnessed(rows: Vec<Record>, listing: Listing) -> Match {
        seen(rows, listing).hear(&Evidence::Headers {
            organisation: Some("acme".to_owned()),
            project: Some("proj_1".to_owned()),
        })
    }

    fn check(verdict: Verdict, identity: Match) -> Check {
        Check {
            verdict,
            identity,
            since: None,
            exposure: None,
        }
    }

    #[test]
    fn only_a_live_key_with_a_confirmed_record_passes() {
        let live = Verdict::Live(Life::Works);
        let confirmed = || witnessed(vec![record()], Listing::Complete);
        assert!(eligible(&check(live.clone(), confirmed())).is_ok());
        assert!(eligible(&check(Verdict::Live(Life::NoMoney), confirmed())).is_ok());
        for verdict in [
            Verdict::not_probed(),
            Verdict::Unusable(Unusable::Account),
            Verdict::Unknown(Why::new("server", "it failed")),
            Verdict::Dead {
                answers: 3,
                over: std::time::Duration::from_secs(20),
                control: true,
            },
        ] {
            let shut = eligible(&check(verdict, confirmed())).unwrap_err();
            assert!(matches!(shut, Shut::NotLive(_)) && !shut.is_policy());
        }
        let one = || vec![record()];
        let typed = seen(one(), Listing::Complete).hear(&Evidence::Typed("key_1".to_owned()));
        for (identity, word) in [
            (seen(one(), Listing::Complete), "candidate"),
            (seen(Vec::new(), Listing::Complete), "none"),
            (
                witnessed(vec![record(), record()], Listing::Complete),
                "ambiguous",
            ),
            (
                witnessed(one(), Listing::Incomplete(Why::new("x", "y"))),
                "unknown",
            ),
            (typed, "typed in"),
        ] {
            let shut = eligible(&check(live.clone(), identity)).unwrap_err();
            assert_eq!(shut, Shut::NotConfirmed(word));
        }
        let mut archived = record();
        archived.archived = true;
        let archived = witnessed(vec![archived], Listing::Complete);
        assert_eq!(
            eligible(&check(live.clone(), archived)).unwrap_err(),
            Shut::Archived
        );
        let mut admin = record();
        admin.kind = RecordKind::Admin;
        let admin = witnessed(vec![admin], Listing::Complete);
        assert_eq!(eligible(&check(live, admin)).unwrap_err(), Shut::Admin);
    }

    #[test]
    fn nothing_starts_by_itself_unless_the_policy_names_it() {
        let policy = |projects: &[&str], kinds: &[OwnerKind]| Automatic {
            projects: projects.iter().map(|one| (*one).to_owned()).collect(),
            kinds: kinds.to_vec(),
            a_day: 1,
        };
        let both = [OwnerKind::ServiceAccount, OwnerKind::User];
        let record = record();
        assert_eq!(allowed(None, &record), Err(Shut::Off));
        for projects in [&["proj_1"][..], &["other", "Chat"], &["*"]] {
            assert!(allowed(Some(&policy(projects, &both)), &record).is_ok());
        }
        // Names are not patterns.
        for projects in [&["proj_2"][..], &["chat"], &["proj_*"], &[""]] {
            let shut = allowed(Some(&policy(projects, &both)), &record).unwrap_err();
            assert!(matches!(shut, Shut::Project(_)) && shut.is_policy());
        }
        let people = policy(&["*"], &[OwnerKind::User]);
        assert!(matches!(
            allowed(Some(&people), &record),
            Err(Shut::Owner(_))
        ));
        let mut nobody = record;
        nobody.owner = None;
        let both = policy(&["*"], &both);
        assert!(matches!(allowed(Some(&both), &nobody), Err(Shut::Owner(_))));
    }
}
