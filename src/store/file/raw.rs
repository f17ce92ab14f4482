//! A file that is the value, and nothing else but white space around it: secrets that are mounted
//! by Docker Compose, systemd, or Kubernetes.

use super::{Found, Problem};
use crate::secret::Secret;

pub(super) fn find(text: &[u8], _: &[String]) -> Result<Found, Problem> {
    let value = text.trim_ascii();
    if value.is_empty() {
        return Err(Problem::Absent);
    }
    if value.iter().any(u8::is_ascii_whitespace) {
        let reason = "the file holds more than one word, so it is no raw value";
        return Err(Problem::Unusable(reason.to_owned()));
    }
    let start = text.len() - text.trim_ascii_start().len();
    Ok(Found {
        span: start..start + value.len(),
        value: Secret::new(value.to_vec()),
        write: |value| Some(value.expose().to_vec()),
    })
}
