//! One request to OpenAI, as often as it takes: paced, repeated where that is safe, its answer
//! read and redacted.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::de::DeserializeOwned;
use serde_json::Value;
use zeroize::Zeroizing;

use super::error::{Cause, Error, Refusal};
use super::pace::{self, Jitter, Pacer};
use super::{News, Progress, Redact, Settings};
use crate::clock::{Clock, Stopped};
use crate::http::{self, Address, Answer, Method, Request, Trouble};
use crate::secret::{Masked, Secret};

/// Texts shorter than this hold no key.
const SHORTEST_KEY: usize = 32;

/// The longest message of a refusal that is kept, in characters.
const LONGEST_MESSAGE: usize = 1000;

/// OpenAI at one address. Whoever asks brings a key: [`Admin`](super::Admin) for the
/// administration, [`Service::probe`] for a key of unknown fate.
pub struct Service {
    http: http::Client,
    settings: Settings,
    clock: Arc<dyn Clock>,
    progress: Arc<dyn Progress>,
    redact: Redact,
    pace: Mutex<(Pacer, Jitter)>,
    server_time: Mutex<Option<i64>>,
}

/// What is to be asked.
pub(super) struct Call<'a> {
    /// What it is, as in `list the projects`. Pacing counts by it.
    pub(super) asked: &'static str,
    pub(super) key: &'a Secret,
    pub(super) method: Method,
    pub(super) address: Address,
    pub(super) body: Option<Value>,
    pub(super) per_minute: u32,
}

/// A status below 300, and what came with it.
pub(super) struct Reply {
    pub(super) asked: &'static str,
    pub(super) status: u16,
    pub(super) body: Zeroizing<Vec<u8>>,
    pub(super) names: Names,
}

/// What an answer's headers name.
#[derive(Clone, Debug, Default)]
pub(super) struct Names {
    pub(super) organisation: Option<String>,
    pub(super) project: Option<String>,
    pub(super) request_id: Option<Masked>,
}

impl Service {
    /// Masks the keys in a text.
    pub fn redact(&self, text: &str) -> Masked {
        (self.redact)(text.as_bytes())
    }

    /// `redact` masks keys in all that comes back.
    pub fn new(
        http: http::Client,
        settings: Settings,
        clock: Arc<dyn Clock>,
        redact: Redact,
        progress: Arc<dyn Progress>,
    ) -> Self {
        let jitter = Jitter(settings.seed);
        Self {
            http,
            settings,
            clock,
            progress,
            redact,
            pace: Mutex::new((Pacer::default(), jitter)),
            server_time: Mutex::default(),
        }
    }

    /// The settings.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// The server's own time with its last answer, in seconds since 1970: what it dates its rows
    /// by, whatever our clock says.
    pub fn server_time(&self) -> Option<i64> {
        let time = self.server_time.lock();
        *time.unwrap_or_else(PoisonError::into_inner)
    }

    /// The clock that it goes by.
    pub fn clock(&self) -> &dyn Clock {
        &*self.clock
    }

    /// Who is told how far the work is.
    pub fn progress(&self) -> &dyn Progress {
        &*self.progress
    }

    /// The least time that so many more requests to one endpoint of the Admin API take.
    pub fn least_time(&self, requests: u64) -> Duration {
        pace::least(requests, self.settings.per_minute)
    }

    fn pace(&self) -> MutexGuard<'_, (Pacer, Jitter)> {
        self.pace.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sends it until there is an answer or no hope.
    pub(super) fn ask(&self, call: &Call<'_>) -> Result<Reply, Error> {
        let fail = |cause: Cause| Error {
            asked: call.asked,
            cause,
        };
        let mut attempts = 0;
        loop {
            self.wait_for_turn(call).map_err(|stop| fail(stop.into()))?;
            attempts += 1;
            let (cause, pause) = match self.http.send(self.request(call)) {
                Ok(answer) if answer.status < 300 => {
                    let names = self.names(&answer);
                    return Ok(Reply {
                        asked: call.asked,
                        status: answer.status,
                        body: answer.body,
                        names,
                    });
                }
                Ok(answer) => {
                    let refusal = self.refusal(&answer, call.key, attempts);
                    let pause = self.pause_after(&refusal, &answer, call, attempts);
                    (Cause::Refused(Box::new(refusal)), pause)
                }
                Err(error) => {
                    let passes = matches!(
                        error.trouble,
                        Trouble::Unreachable(_) | Trouble::TimedOut(_) | Trouble::CutShort
                    );
                    let again = passes && (call.method == Method::Get || !error.may_have_arrived);
                    let pause = again.then(|| self.back_off(Duration::from_millis(500), attempts));
                    (Cause::Http(error), pause)
                }
            };
            match pause {
                Some(pause) if attempts < self.settings.attempts => {
                    self.progress.tell(News::Retrying { pause, attempts });
                    self.clock.sleep(pause).map_err(|stop| fail(stop.into()))?;
                }
                _ => return Err(fail(cause)),
            }
        }
    }

    fn wait_for_turn(&self, call: &Call<'_>) -> Result<(), Stopped> {
        // A run that is to end begins nothing, even if it need not wait.
        self.clock.sleep(Duration::ZERO)?;
        loop {
            let wait = {
                let (pacer, jitter) = &mut *self.pace();
                let chance = jitter.next();
                pacer.book(call.asked, call.per_minute, self.clock.uptime(), chance)
            };
            if wait.is_zero() {
                return Ok(());
            }
            self.progress.tell(News::Pacing(wait));
            self.clock.sleep(wait)?;
        }
    }

    fn request(&self, call: &Call<'_>) -> Request {
        let request = Request::new(call.method, call.address.clone())
            .secret_header("authorization", "Bearer", call.key)
            .header("accept", "application/json");
        match &call.body {
            None => request,
            Some(body) => {
                let body = Secret::new(body.to_string().into_bytes());
                request.body("application/json", body)
            }
        }
    }

    /// Doubles with each attempt, up to a minute; a quarter of it is chance.
    fn back_off(&self, first: Duration, attempts: u32) -> Duration {
        let longer = first * (1 << (attempts - 1).min(16));
        let (_, jitter) = &mut *self.pace();
        longer
            .min(Duration::from_secs(60))
            .mul_f64(1.0 + jitter.next() / 4.0)
    }

    /// How long to wait before trying again; `None`: don't.
    fn pause_after(
        &self,
        refusal: &Refusal,
        answer: &Answer,
        call: &Call<'_>,
        attempts: u32,
    ) -> Option<Duration> {
        let limited = refusal.status == 429 && !refusal.is_out_of_money();
        let by_rule = limited || refusal.status >= 500 && call.method == Method::Get;
        let again = match answer.header("x-should-retry") {
            // What changes something is sent again only where nothing can have been done.
            Some("true") => call.method == Method::Get || limited,
            Some("false") => false,
            _ => by_rule,
        };
        if !again {
            return None;
        }
        if let Some(pause) = self.asked_pause(answer) {
            return (pause <= self.settings.longest_pause).then_some(pause);
        }
        if limited {
            let now = self.clock.uptime();
            self.pace().0.exhausted(call.asked, call.per_minute, now);
        }
        let first = match (limited, call.per_minute) {
            (true, per_minute @ 1..) => Duration::from_secs(60) / per_minute,
            _ => Duration::from_millis(500),
        };
        Some(self.back_off(first, attempts))
    }

    /// `Retry-After-Ms`, or `Retry-After` in seconds or as a date (compared with the server's own
    /// clock, if it tells the time).
    fn asked_pause(&self, answer: &Answer) -> Option<Duration> {
        let number = |name: &str| answer.header(name)?.trim().parse::<f64>().ok();
        let sound = |n: &f64| n.is_finite() && (0.0..1e9).contains(n);
        if let Some(millis) = number("retry-after-ms").filter(sound) {
            return Some(Duration::from_secs_f64(millis / 1000.0));
        }
        if let Some(seconds) = number("retry-after").filter(sound) {
            return Some(Duration::from_secs_f64(seconds));
        }
        let until = date(answer, "retry-after")?;
        let now = date(answer, "date").unwrap_or_else(|| self.clock.now());
        Some(Duration::try_from(until.duration_since(now)).unwrap_or_default())
    }

    fn names(&self, answer: &Answer) -> Names {
        let text = |name: &str| {
            let value = answer.header(name).filter(|value| !value.is_empty())?;
            Some((self.redact)(value.as_bytes()).text().into_owned())
        };
        if let Some(time) = date(answer, "date") {
            let known = self.server_time.lock();
            *known.unwrap_or_else(PoisonError::into_inner) = Some(time.as_second());
        }
        Names {
            organisation: text("openai-organization"),
            project: text("openai-project"),
            request_id: text("x-request-id").map(Masked::vouched),
        }
    }

    /// What a body with a status of 400 and above says.
    fn refusal(&self, answer: &Answer, key: &Secret, attempts: u32) -> Refusal {
        let body: Option<Value> = serde_json::from_slice(&answer.body).ok();
        let error = body.as_ref().and_then(|body| body.get("error"));
        let error = error.and_then(Value::as_object);
        let text = |name: &str| {
            let text = error?.get(name)?.as_str()?;
            let text: String = text.chars().take(LONGEST_MESSAGE).collect();
            Some(self.masked(&text, key))
        };
        let word = |name: &str| text(name).map(|text| text.to_string());
        let names = self.names(answer);
        Refusal {
            status: answer.status,
            kind: word("type"),
            code: word("code"),
            message: text("message").unwrap_or_default(),
            is_api: error.is_some_and(|error| error.contains_key("message")),
            request_id: names.request_id,
            organisation: names.organisation,
            project: names.project,
            attempts,
        }
    }

    /// The text without the key that asked, whatever it looks like, and without any other.
    fn masked(&self, text: &str, key: &Secret) -> Masked {
        match std::str::from_utf8(key.expose()) {
            Ok(whole) if !whole.is_empty() && text.contains(whole) => {
                let text = Zeroizing::new(text.replace(whole, &key.mask().to_string()));
                (self.redact)(text.as_bytes())
            }
            _ => (self.redact)(text.as_bytes()),
        }
    }

    /// What an answer says, redacted.
    pub(super) fn read<T: DeserializeOwned>(&self, reply: &Reply) -> Result<T, Error> {
        let not_understood = |why: String| not_understood(reply, why);
        // serde_json's message would quote what it stumbled over.
        let mut value: Value = serde_json::from_slice(&reply.body).map_err(|error| {
            not_understood(match error.is_eof() {
                true => "its JSON is cut short".to_owned(),
                false => "it is no JSON".to_owned(),
            })
        })?;
        if value.get("error").is_some_and(|error| !error.is_null()) {
            return Err(not_understood("it holds an error all the same".to_owned()));
        }
        self.redact_all(&mut value);
        serde_json::from_value(value).map_err(|error| {
            let text = Masked::vouched(error.to_string()).to_string();
            not_understood(text)
        })
    }

    fn redact_all(&self, value: &mut Value) {
        match value {
            Value::String(text) if text.len() >= SHORTEST_KEY => {
                let masked = (self.redact)(text.as_bytes());
                if masked.as_bytes() != text.as_bytes() {
                    *text = masked.text().into_owned();
                }
            }
            Value::Array(all) => all.iter_mut().for_each(|one| self.redact_all(one)),
            Value::Object(all) => all.values_mut().for_each(|one| self.redact_all(one)),
            _ => {}
        }
    }
}

/// An answer that makes no sense.
pub(super) fn not_understood(reply: &Reply, why: String) -> Error {
    Error {
        asked: reply.asked,
        cause: Cause::NotUnderstood {
            status: reply.status,
            why,
        },
    }
}

/// A header that holds a date.
fn date(answer: &Answer, name: &str) -> Option<jiff::Timestamp> {
    let zoned = jiff::fmt::rfc2822::parse(answer.header(name)?.trim()).ok()?;
    Some(zoned.timestamp())
}
