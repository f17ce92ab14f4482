//! The forms that keys have had over the years, and how listings redact them.
//!
//! Source: `openai-api.md` of the project's references: captured keys and listings.

use serde::{Deserialize, Serialize};

use crate::rules::Template;
use crate::secret::Secret;

/// What a key looks like.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Form {
    /// A user's, to April 2024.
    UserLegacy,
    /// A user's, 2024.
    UserShort,
    /// A user's, now.
    User,
    /// A project's, from April 2024.
    ProjectShort,
    /// A project's, August 2024.
    ProjectMiddle,
    /// A project's, now.
    Project,
    /// A service account's, with its name in it, May 2024.
    ServiceAccountNamed,
    /// A service account's, 2024.
    ServiceAccountShort,
    /// A service account's, later in 2024.
    ServiceAccountMiddle,
    /// A service account's, now.
    ServiceAccount,
    /// An admin key.
    Admin,
}

impl Form {
    /// All of them.
    pub const ALL: [Self; 11] = [
        Self::UserLegacy,
        Self::UserShort,
        Self::User,
        Self::ProjectShort,
        Self::ProjectMiddle,
        Self::Project,
        Self::ServiceAccountNamed,
        Self::ServiceAccountShort,
        Self::ServiceAccountMiddle,
        Self::ServiceAccount,
        Self::Admin,
    ];

    fn template(self) -> &'static str {
        match self {
            Self::UserLegacy => "sk-{alnum:20}T3BlbkFJ{alnum:20}",
            Self::UserShort => "sk-None-{alnum:20}T3BlbkFJ{alnum:20}",
            Self::User => "sk-None-{long:74,74}",
            Self::ProjectShort => "sk-proj-{alnum:20}T3BlbkFJ{alnum:20}",
            Self::ProjectMiddle => "sk-proj-{long:58,58}",
            Self::Project => "sk-proj-{long:74,74}",
            Self::ServiceAccountNamed => "sk-service-account-{alnum:20}T3BlbkFJ{alnum:20}",
            Self::ServiceAccountShort => "sk-svcacct-{alnum:20}T3BlbkFJ{alnum:20}",
            Self::ServiceAccountMiddle => "sk-svcacct-{long:57,58}",
            Self::ServiceAccount => "sk-svcacct-{long:74,74}",
            Self::Admin => "sk-admin-{long:58,58}",
        }
    }

    /// A synthetic key of this form. The same seed makes the same key.
    pub fn make(self, seed: u64) -> Secret {
        Secret::new(fill(self.template(), seed).into_bytes())
    }
}

/// Fills a template of this room's own.
pub(super) fn fill(template: &str, seed: u64) -> String {
    let template = Template::parse(template).expect("the templates here are right, as tests show");
    template.fill(seed).key
}

/// What listings show: the first 8 characters, one `*` for each hidden one, the last 4.
pub(super) fn redacted(value: &Secret) -> String {
    let text = String::from_utf8_lossy(value.expose());
    let hidden = text.len().saturating_sub(12);
    let head = text.get(..8).unwrap_or_default();
    let tail = text.get(text.len().saturating_sub(4)..).unwrap_or_default();
    format!("{head}{}{tail}", "*".repeat(hidden))
}

/// `value` with the last four characters of `like`: listings show the two alike.
pub(super) fn with_tail_of(value: &Secret, like: &Secret) -> Secret {
    let (value, like) = (value.expose(), like.expose());
    let mut bytes = value[..value.len().saturating_sub(4)].to_vec();
    bytes.extend_from_slice(&like[like.len().saturating_sub(4)..]);
    Secret::new(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::matcher::Matcher;
    use crate::rules::Rules;

    #[test]
    fn every_form_is_a_key_that_a_scan_finds_whole() {
        let matcher = Matcher::new(&Rules::built_in(), None);
        for form in Form::ALL {
            for seed in 0..20 {
                let key = form.make(seed);
                let text = [b"key = \"", key.expose(), b"\""].concat();
                let hits = matcher.search_all(&text);
                assert_eq!(hits.len(), 1, "{form:?}");
                assert_eq!(hits[0].secret, key, "{form:?}");
            }
        }
    }

    #[test]
    fn lengths_are_those_of_the_reference() {
        let lengths = Form::ALL.map(|form| form.make(3).expose().len());
        assert_eq!(lengths, [51, 56, 164, 56, 132, 164, 67, 59, 134, 167, 133]);
    }

    #[test]
    fn redaction_keeps_the_length() {
        for form in Form::ALL {
            let key = form.make(1);
            let text = redacted(&key);
            assert_eq!(text.len(), key.expose().len());
            assert_eq!(&text.as_bytes()[..8], &key.expose()[..8]);
            assert_eq!(text.matches('*').count(), text.len() - 12);
            assert!(text.as_bytes().ends_with(&key.expose()[text.len() - 4..]));
        }
    }

    #[test]
    fn tails_can_collide() {
        let (one, other) = (Form::Project.make(1), Form::Project.make(2));
        assert_ne!(redacted(&one), redacted(&other));
        let forged = with_tail_of(&other, &one);
        assert_eq!(redacted(&one), redacted(&forged));
        assert_ne!(one, forged);
    }
}
