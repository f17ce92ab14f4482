//! What Wazuh hands to an active response on standard input: of an alert that our own
//! [profile](super::PROFILES) led to, the ids of the key, and nothing else. Whoever can write a log
//! line can write an alert's fields, so no command, host, path or key is taken from one.
//!
//! 4.x sends `{"version":1,"origin":…,"command":"add","parameters":{"alert":{…,"data":{…}}}}`, and
//! `delete` when a stateful response's time is over. A stateful one names its keys first
//! (`check_keys`) and is told to `continue`, or to `abort` if that key is dealt with already. 5.x
//! sends the finding's own fields with `"command":"enable"` or `"disable"`, and what was in `ar.conf`
//! in `wazuh.active_response`; there is no such talk. Facts: Wazuh's documentation, "Custom active
//! response scripts" of 4.14 and 5.0.

use std::io::{self, Read, Write};

use serde_json::{Value, json};

use crate::secret::Fingerprint;

/// The longest message that is read, in bytes: an alert is some kilobytes.
const LONGEST: u64 = 1 << 20;

/// The longest id of a key.
const LONGEST_ID: usize = 128;

/// What an alert asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// Something about this key.
    Respond(Leaked),
    /// The time of a stateful response is over: it is to be taken back.
    TakeBack,
}

/// A key, as an alert names it: by at least one of the two.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Leaked {
    /// The id of its record.
    pub key_id: Option<String>,
    /// Its fingerprint.
    pub fingerprint: Option<Fingerprint>,
}

/// Why a message asks for nothing that can be done. It quotes nothing of what it holds.
#[derive(Debug, thiserror::Error)]
pub enum NoAlert {
    /// It can't be read.
    #[error("can't read the alert: {0}")]
    Io(#[from] io::Error),
    /// It is not what Wazuh sends.
    #[error("standard input holds no message of Wazuh's active response: {0}")]
    NotAMessage(&'static str),
    /// It is about something else.
    #[error(
        "the alert names no leaked key: rules for it match `skewer_event: leak` of `skewer audit export --profile wazuh`"
    )]
    NotALeak,
    /// An id is none.
    #[error("`{0}` in the alert is no id")]
    NotAnId(&'static str),
    /// The handshake failed.
    #[error("Wazuh did not answer whether to go on: is the response a stateful one?")]
    NoAnswer,
}

/// One JSON value, of a bounded length; what stands behind it is left where it is.
fn value(from: &mut impl Read) -> Result<Value, NoAlert> {
    let mut all = serde_json::Deserializer::from_reader(from.take(LONGEST)).into_iter();
    match all.next() {
        Some(Ok(value)) => Ok(value),
        Some(Err(error)) if error.is_io() => Err(NoAlert::Io(error.into())),
        Some(Err(error)) if error.is_eof() => Err(NoAlert::NotAMessage(
            "it ends in the middle, or is longer than any",
        )),
        Some(Err(_)) => Err(NoAlert::NotAMessage("it is no JSON")),
        None => Err(NoAlert::NotAMessage("it is empty")),
    }
}

/// Reads a message of 4.x or 5.x.
///
/// # Errors
/// It is none, or it names no leaked key.
pub fn read(from: &mut impl Read) -> Result<Wanted, NoAlert> {
    let message = value(from)?;
    let data = match message["command"].as_str() {
        Some("delete" | "disable") => return Ok(Wanted::TakeBack),
        Some("add") => &message["parameters"]["alert"]["data"],
        Some("enable") if message["data"].is_object() => &message["data"],
        Some("enable") => &message,
        _ => return Err(NoAlert::NotAMessage("its `command` is none that we know")),
    };
    if data["skewer_event"] != "leak" {
        return Err(NoAlert::NotALeak);
    }
    let leaked = Leaked {
        key_id: text(data, "skewer_key_id")?
            .map(|id| is_id(id).then(|| id.to_owned()))
            .map(|id| id.ok_or(NoAlert::NotAnId("skewer_key_id")))
            .transpose()?,
        fingerprint: text(data, "skewer_key")?
            .map(|print| print.parse().map_err(|_| NoAlert::NotAnId("skewer_key")))
            .transpose()?,
    };
    match leaked.key_id.is_none() && leaked.fingerprint.is_none() {
        true => Err(NoAlert::NotALeak),
        false => Ok(Wanted::Respond(leaked)),
    }
}

fn text<'v>(data: &'v Value, name: &'static str) -> Result<Option<&'v str>, NoAlert> {
    match &data[name] {
        Value::Null => Ok(None),
        Value::String(text) => Ok(Some(text)),
        _ => Err(NoAlert::NotAnId(name)),
    }
}

fn is_id(text: &str) -> bool {
    let fits = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-');
    (1..=LONGEST_ID).contains(&text.len()) && text.bytes().all(fits)
}

impl Leaked {
    /// What it is called, for people and for Wazuh.
    pub fn name(&self) -> String {
        match (&self.key_id, &self.fingerprint) {
            (Some(id), _) => id.clone(),
            (None, Some(print)) => print.to_string(),
            (None, None) => String::new(),
        }
    }

    /// Asks Wazuh 4.x whether the response to this key is to go on: it is not, while an earlier one
    /// lasts. Nothing else is written to `to`.
    ///
    /// # Errors
    /// There is no answer.
    pub fn may_go_on(&self, from: &mut impl Read, to: &mut impl Write) -> Result<bool, NoAlert> {
        let ask = json!({
            "version": 1,
            "origin": { "name": "skewer", "module": "active-response" },
            "command": "check_keys",
            "parameters": { "keys": [self.name()] },
        });
        writeln!(to, "{ask}")?;
        to.flush()?;
        let answer = value(from).map_err(|_| NoAlert::NoAnswer)?;
        match answer["command"].as_str() {
            Some("continue") => Ok(true),
            Some("abort") => Ok(false),
            _ => Err(NoAlert::NoAnswer),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const PRINT: &str = "00112233445566778899aabbccddeeff";

    fn four(data: &str) -> String {
        format!(
            r#"{{"version":1,"origin":{{"name":"worker01","module":"wazuh-execd"}},"command":"add","parameters":{{"extra_args":[],"alert":{{"rule":{{"level":12}},"data":{data},"full_log":"x"}},"program":"active-response/bin/skewer"}}}}"#
        )
    }

    fn five(fields: &str) -> String {
        format!(
            r#"{{"wazuh":{{"active_response":{{"name":"skewer","type":"stateless"}}}},{fields},"command":"enable"}}"#
        )
    }

    fn leaked(text: &str) -> Result<Leaked, String> {
        match read(&mut text.as_bytes()) {
            Ok(Wanted::Respond(leaked)) => Ok(leaked),
            Ok(other) => Err(format!("{other:?}")),
            Err(error) => Err(error.to_string()),
        }
    }

    #[test]
    fn both_generations_name_a_key() {
        let fields = format!(
            r#""skewer_event":"leak","skewer_key":"{PRINT}","skewer_key_id":"key_abc","skewer_place":"a.env""#
        );
        for text in [
            four(&format!("{{{fields}}}")),
            five(&fields),
            five(&format!(r#""data":{{{fields}}}"#)),
        ] {
            let leaked = leaked(&text).unwrap();
            assert_eq!(leaked.key_id.as_deref(), Some("key_abc"));
            assert_eq!(leaked.fingerprint.unwrap().to_string(), PRINT);
        }
        let only = leaked(&four(r#"{"skewer_event":"leak","skewer_key_id":"key_1"}"#)).unwrap();
        assert_eq!((only.fingerprint, only.name()), (None, "key_1".to_owned()));
        for command in ["delete", "disable"] {
            let text = format!(r#"{{"command":"{command}","parameters":{{}}}}"#);
            assert_eq!(read(&mut text.as_bytes()).unwrap(), Wanted::TakeBack);
        }
    }

    #[test]
    fn what_a_hostile_alert_holds_is_data() {
        for (text, why) in [
            (String::new(), "it is empty"),
            ("{".to_owned(), "ends in the middle"),
            ("[".repeat(100_000), "no JSON"),
            ("x".repeat(2 << 20), "no JSON"),
            (format!("\"{}", "x".repeat(2 << 20)), "longer than any"),
            ("null".to_owned(), "`command`"),
            (r#"{"command":"rm -rf /"}"#.to_owned(), "`command`"),
            (four("{}"), "no leaked key"),
            (four("[]"), "no leaked key"),
            (
                four(r#"{"skewer_event":"step","skewer_key_id":"key_1"}"#),
                "no leaked key",
            ),
            (four(r#"{"skewer_event":"leak"}"#), "no leaked key"),
            (
                four(r#"{"skewer_event":"leak","skewer_key_id":"../../etc"}"#),
                "`skewer_key_id`",
            ),
            (
                four(r#"{"skewer_event":"leak","skewer_key_id":["key_1"]}"#),
                "`skewer_key_id`",
            ),
            (
                four(r#"{"skewer_event":"leak","skewer_key_id":"a;b"}"#),
                "`skewer_key_id`",
            ),
            (
                four(r#"{"skewer_event":"leak","skewer_key":"00"}"#),
                "`skewer_key`",
            ),
        ] {
            let said = leaked(&text).unwrap_err();
            assert!(said.contains(why), "{why}: {said}");
        }
    }

    #[test]
    fn a_stateful_response_asks_before_it_goes_on() {
        let leaked = leaked(&four(r#"{"skewer_event":"leak","skewer_key_id":"key_1"}"#)).unwrap();
        let ask = |answer: &str| {
            let mut said = Vec::new();
            let outcome = leaked.may_go_on(&mut answer.as_bytes(), &mut said);
            let said: Value = serde_json::from_slice(&said).unwrap();
            assert_eq!(said["command"], "check_keys");
            assert_eq!(said["parameters"]["keys"], json!(["key_1"]));
            outcome.ok()
        };
        assert_eq!(ask(r#"{"command":"continue","parameters":{}}"#), Some(true));
        assert_eq!(ask(r#"{"command":"abort","parameters":{}}"#), Some(false));
        assert_eq!(ask(""), None);
        assert_eq!(ask("{}"), None);
    }

    #[test]
    fn what_follows_the_message_is_left_for_the_answer() {
        let all = format!(
            "{}\n{{\"command\":\"continue\"}}\n",
            four(r#"{"skewer_event":"leak","skewer_key_id":"key_1"}"#)
        );
        let mut from = all.as_bytes();
        let Wanted::Respond(leaked) = read(&mut from).unwrap() else {
            panic!("a leak");
        };
        assert!(leaked.may_go_on(&mut from, &mut Vec::new()).unwrap());
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_to_an_end(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = read(&mut &bytes[..]);
        }

        /// Whatever ids hold, what comes out is harmless.
        #[test]
        fn only_ids_come_out(id in ".*", print in ".*") {
            let data = json!({"skewer_event": "leak", "skewer_key_id": id, "skewer_key": print});
            if let Ok(leaked) = leaked(&four(&data.to_string())) {
                prop_assert!(leaked.key_id.is_none_or(|id| is_id(&id)));
            }
        }
    }
}
