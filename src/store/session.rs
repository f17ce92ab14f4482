//! What a cloud gives for a while, a token or a set of keys: kept until shortly before its end.

use std::sync::{Mutex, PoisonError};

use jiff::{SignedDuration, Timestamp};
use serde::Deserialize;

use super::rest::{self, Rest, Text};
use super::{Outside, StoreError};
use crate::config::{ConfigError, Credential, Section, Source};
use crate::http::{Address, Answer, Client, Request};
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

/// Where clouds tell a machine its own credentials: AWS, Azure and Google alike.
pub(super) fn metadata() -> String {
    "http://169.254.169.254".to_owned()
}

/// What every way into a cloud needs to speak to somebody.
pub(super) struct Door<'a> {
    pub(super) section: &'a Section,
    pub(super) outside: &'a Outside<'a>,
    pub(super) client: &'a Client,
    pub(super) place: &'a str,
}

impl Door<'_> {
    /// Whoever gives credentials at this address; `right` is what that takes.
    pub(super) fn rest(&self, address: &str, right: &str) -> Result<Rest, ConfigError> {
        Ok(self.at(rest::address(self.section, address)?, right))
    }

    /// The same, of what tells a machine its own.
    pub(super) fn machine(&self, address: &str, right: &str) -> Result<Rest, ConfigError> {
        Ok(self.at(rest::machine(self.section, address)?, right))
    }

    fn at(&self, base: Address, right: &str) -> Rest {
        Rest::new(self.client.clone(), base, self.place, &[right.to_owned()])
    }

    /// A credential that is got again once it has ended.
    pub(super) fn source(&self, name: &str, from: Credential) -> Result<Source, ConfigError> {
        rest::source(self.section, name, from, self.outside)
    }

    /// A credential, now.
    pub(super) fn credential(&self, name: &str, from: &Credential) -> Result<Secret, ConfigError> {
        rest::credential(self.section, name, from, self.outside)
    }

    /// A token that comes from somewhere as it is, and lasts we don't know how long.
    pub(super) fn token(&self, from: Credential) -> Result<Issue<Secret>, ConfigError> {
        let (source, place) = (self.source("token", from)?, self.place.to_owned());
        Ok(Box::new(move || {
            let what = rest::again(&place, &source)?;
            Ok(Issued { what, ends: None })
        }))
    }
}

/// Asks for a token, as OAuth has it (RFC 6749, 5.1).
pub(super) fn token(
    rest: &Rest,
    request: Request,
    now: fn() -> Timestamp,
) -> Result<Issued<Secret>, StoreError> {
    #[derive(Deserialize)]
    struct Reply {
        access_token: Text,
        /// In seconds; Azure's machines say it as a text.
        expires_in: serde_json::Value,
    }
    let doing = "get an access token";
    let answer = rest.send(doing, request)?;
    if answer.status == 400 {
        // Who is asked for a token says so to everything that it does not accept.
        return Err(rest.refused_as(403, doing, &answer));
    }
    let reply: Reply = rest.parse(doing, &answer)?;
    let seconds = match &reply.expires_in {
        serde_json::Value::String(text) => text.parse().ok(),
        number => number.as_i64(),
    };
    let seconds = seconds.ok_or_else(|| rest.malformed(doing))?;
    let lasts = SignedDuration::from_secs(seconds.clamp(0, 7 * 24 * 60 * 60));
    Ok(Issued {
        what: reply.access_token.0,
        ends: Some(now() + lasts),
    })
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
