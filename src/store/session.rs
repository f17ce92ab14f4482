//! What a cloud gives for a while, a token or a set of keys: kept until shortly before its end.

use std::sync::{Mutex, PoisonError};

use jiff::{SignedDuration, Timestamp};

use super::rest::Rest;
use super::{Outside, StoreError};
use crate::http::{Answer, Request};
use crate::secret::Secret;

/// This long before its end it is asked for anew: an exchange may take a minute, and clocks differ.
const EARLY: SignedDuration = SignedDuration::from_mins(2);

/// Something that is given anew whenever it has ended.
pub(super) struct Session<T> {
    issue: Issue<T>,
    now: fn() -> Timestamp,
    held: Mutex<Option<Issued<T>>>,
}

/// Asks for a new one.
pub(super) type Issue<T> = Box<dyn Fn() -> Result<Issued<T>, StoreError> + Send + Sync>;

/// It, and its end, where that is known.
pub(super) struct Issued<T> {
    pub(super) what: T,
    pub(super) ends: Option<Timestamp>,
}

impl<T: Clone> Session<T> {
    pub(super) fn new(outside: &Outside<'_>, issue: Issue<T>) -> Self {
        Self {
            issue,
            now: outside.now,
            held: Mutex::default(),
        }
    }

    /// Sends what `make` makes of it. If it is not accepted although it should not have ended yet,
    /// it is asked for anew, once: what was refused was not done.
    pub(super) fn send(
        &self,
        rest: &Rest,
        doing: &str,
        make: impl Fn(&T) -> Request,
        has_ended: impl Fn(&Answer) -> bool,
    ) -> Result<Answer, StoreError> {
        let (what, fresh) = self.get()?;
        let answer = rest.send(doing, make(&what))?;
        if fresh || !has_ended(&answer) {
            return Ok(answer);
        }
        *self.held() = None;
        let (what, _) = self.get()?;
        rest.send(doing, make(&what))
    }

    /// It, and whether it was just given.
    fn get(&self) -> Result<(T, bool), StoreError> {
        let mut held = self.held();
        if let Some(there) = &*held {
            let lasts = there.ends.is_none_or(|ends| (self.now)() + EARLY < ends);
            if lasts {
                return Ok((there.what.clone(), false));
            }
        }
        let issued = held.insert((self.issue)()?);
        Ok((issued.what.clone(), true))
    }

    fn held(&self) -> std::sync::MutexGuard<'_, Option<Issued<T>>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Session<Secret> {
    /// Sends a request with the token as OAuth has it (RFC 6750).
    pub(super) fn send_bearer(
        &self,
        rest: &Rest,
        doing: &str,
        make: impl Fn() -> Request,
    ) -> Result<Answer, StoreError> {
        let dress = |token: &Secret| make().secret_header("authorization", "Bearer", token);
        self.send(rest, doing, dress, |answer| answer.status == 401)
    }
}
