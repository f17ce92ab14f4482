//! One answer to a key, for whoever watches it over time.

use super::probing::{Answer, read};
use crate::openai::Service;
use crate::secret::Secret;
use crate::verdict::Verdict;

/// What one answer says of a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Glance {
    /// It is let in, or would be from elsewhere, or with money.
    LetIn,
    /// It is refused as unknown.
    Refused,
    /// Neither; with the reason, redacted.
    Unclear(String),
}

/// Asks once with a key.
pub fn glance(service: &Service, key: &Secret) -> Glance {
    match read(&service.probe(key)) {
        Answer::Refused => Glance::Refused,
        Answer::Settled(Verdict::Live(_)) => Glance::LetIn,
        Answer::Settled(Verdict::Unknown(why)) => Glance::Unclear(why.detail.to_string()),
        Answer::Settled(other) => Glance::Unclear(format!("the key is {}", other.as_str())),
    }
}
