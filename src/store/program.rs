//! Any other store, behind a program: 1Password, Bitwarden, Doppler, Passbolt and so on.
//!
//! The program is started once for each call. On its standard input it gets one line of JSON, with
//! the value in it, never as an argument; on its standard output it answers with one:
//!
//! ```text
//! {"protocol":"skewer.store/1","operation":"describe"}
//!   → {"place":"1password, vault prod","two_versions":true,"reads_back":true,"gives_back":true,
//!      "check_and_set":"narrow","locks":true,"rights":["edit items in prod"],"remarks":[]}
//! {"protocol":"skewer.store/1","operation":"get","slot":"current"}
//!   → {"held":null} or {"held":{"version":"7","value":"…","note":{…}}}
//! {…,"operation":"put","slot":"next","value":"…","note":{…},"expect":"7"}    "expect":null: empty
//!   → {"version":"8"}
//! {…,"operation":"remove","slot":"next","expect":"8"}
//!   → {}
//! ```
//!
//! Slots are `current`, `next`, `previous` and `lock`. `note` is kept beside the value as it is,
//! and given back; the current slot need not keep it. A call that fails answers
//! `{"error":"…","reason":"…"}` with one of `not_found`, `denied`, `conflict`, `refused`,
//! `unreachable` (nothing was changed) or `unknown` (it may have been). Any exit status but 0 is
//! `unknown`, too. `examples/store-program.sh` is one to begin with.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::rest::{Text, json};
use super::slots::{About, Expect, Put, Slots, conflict};
use super::types::{Capabilities, CheckAndSet, GivesBack, Held, Note, Slot, Version};
use super::{Outside, Store, StoreError};
use crate::config::{ConfigError, Section, time_span};
use crate::process::Program;
use crate::secret::Secret;

const PROTOCOL: &str = "skewer.store/1";

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    /// The program and its arguments.
    command: Vec<String>,
    /// How long a call may take.
    #[serde(default = "patience", deserialize_with = "time_span")]
    limit: Duration,
}

fn patience() -> Duration {
    Duration::from_secs(60)
}

struct Behind {
    about: About,
    remarks: Vec<String>,
    program: Program,
}

#[derive(Serialize)]
struct Call<'a> {
    protocol: &'static str,
    operation: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    slot: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    value: Option<Text>,
    #[serde(skip_serializing_if = "Option::is_none")]
    note: Option<&'a Note>,
    #[serde(skip_serializing_if = "Option::is_none")]
    expect: Option<Option<&'a Version>>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Answer<T> {
    Failed {
        error: Failure,
        #[serde(default)]
        reason: String,
    },
    Done(T),
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum Failure {
    NotFound,
    Denied,
    Conflict,
    Refused,
    Unreachable,
    Unknown,
}

#[derive(Deserialize)]
struct Described {
    place: String,
    two_versions: bool,
    reads_back: bool,
    gives_back: bool,
    check_and_set: Set,
    locks: bool,
    #[serde(default)]
    rights: Vec<String>,
    #[serde(default)]
    remarks: Vec<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum Set {
    Atomic,
    Narrow,
    None,
}

#[derive(Deserialize)]
struct Got {
    held: Option<GotHeld>,
}

#[derive(Deserialize)]
struct GotHeld {
    version: Version,
    #[serde(default)]
    value: Option<Text>,
    #[serde(default)]
    note: Option<Note>,
}

#[derive(Deserialize)]
struct Written {
    version: Version,
}

#[derive(Deserialize)]
struct Removed {}

/// Opens what a section describes: asks the program what it can do.
pub(super) fn open(section: &Section, _: &Outside<'_>) -> Result<Box<dyn Store>, ConfigError> {
    let settings: Settings = section.read()?;
    if settings.command.is_empty() {
        return Err(section.invalid("`command` names a program"));
    }
    let program = Program {
        command: settings.command,
        directory: None,
        environment: Vec::new(),
        limit: settings.limit,
    };
    let mut behind = Behind {
        about: About {
            place: format!("program {}", program.name()),
            can: Capabilities {
                two_versions: false,
                reads_back: false,
                gives_back: GivesBack::WithValue,
                check_and_set: CheckAndSet::None,
                locks: false,
            },
            rights: Vec::new(),
        },
        remarks: Vec::new(),
        program,
    };
    let described: Result<Described, StoreError> =
        behind.call("describe itself", Call::new("describe"));
    let described = described.map_err(|error| section.invalid(error.to_string()))?;
    behind.about = About {
        place: described.place,
        can: Capabilities {
            two_versions: described.two_versions,
            reads_back: described.reads_back,
            gives_back: match described.gives_back {
                true => GivesBack::Itself,
                false => GivesBack::WithValue,
            },
            check_and_set: match described.check_and_set {
                Set::Atomic => CheckAndSet::Atomic,
                Set::Narrow => CheckAndSet::Narrow,
                Set::None => CheckAndSet::None,
            },
            locks: described.locks,
        },
        rights: described.rights,
    };
    behind.remarks = described.remarks;
    Ok(Box::new(behind))
}

impl Call<'_> {
    fn new(operation: &'static str) -> Self {
        Self {
            protocol: PROTOCOL,
            operation,
            slot: None,
            value: None,
            note: None,
            expect: None,
        }
    }
}

impl Behind {
    fn call<T: for<'de> Deserialize<'de>>(
        &self,
        doing: &str,
        call: Call<'_>,
    ) -> Result<T, StoreError> {
        let changes = matches!(call.operation, "put" | "remove");
        let place = || self.about.place.clone();
        let lost = |reason: String, sent: bool| StoreError::Unreachable {
            place: place(),
            doing: doing.to_owned(),
            reason,
            sent: sent && changes,
        };
        let (_, line) = json(&call);
        let mut bytes = Vec::with_capacity(line.expose().len() + 1);
        bytes.extend_from_slice(line.expose());
        bytes.push(b'\n');
        let output = self.program.run(&Secret::new(bytes));
        let output = output.map_err(|error| lost(error.to_string(), error.ran()))?;
        if !output.status.success() {
            return Err(lost(format!("{}: {}", output.status, output.stderr), true));
        }
        let answer = serde_json::from_slice(output.stdout.expose());
        let answer = answer.map_err(|_| StoreError::Malformed {
            place: place(),
            reason: format!("what the program answered when it was to {doing} is not {PROTOCOL}"),
        })?;
        let (error, reason) = match answer {
            Answer::Done(answer) => return Ok(answer),
            Answer::Failed { error, reason } => (error, reason),
        };
        Err(match error {
            Failure::NotFound => StoreError::NotFound {
                place: place(),
                what: reason,
            },
            Failure::Denied => StoreError::Denied {
                place: place(),
                doing: doing.to_owned(),
                reason,
                rights: self.about.rights.join("; "),
            },
            Failure::Conflict => StoreError::Conflict {
                place: place(),
                slot: call.slot.unwrap_or_default(),
                expected: call
                    .expect
                    .flatten()
                    .map_or("nothing".to_owned(), Version::to_string),
                found: reason,
            },
            Failure::Refused => StoreError::Refused {
                place: place(),
                reason,
            },
            Failure::Unreachable => lost(reason, false),
            Failure::Unknown => lost(reason, true),
        })
    }
}

impl Slots for Behind {
    fn about(&self) -> &About {
        &self.about
    }

    fn look(&self) -> Result<Vec<String>, StoreError> {
        Ok(self.remarks.clone())
    }

    fn get(&self, slot: Slot) -> Result<Option<Held>, StoreError> {
        let mut call = Call::new("get");
        call.slot = Some(slot.name());
        let got: Got = self.call("read", call)?;
        Ok(got.held.map(|held| Held {
            version: held.version,
            value: held.value.map(|text| text.0),
            note: held.note.filter(|_| slot != Slot::Lock),
        }))
    }

    fn put(&self, slot: Slot, put: Put<'_>, expect: Expect<'_>) -> Result<Version, StoreError> {
        let mut call = Call::new("put");
        call.slot = Some(slot.name());
        call.value = Some(Text(put.value.clone()));
        call.note = put.note;
        call.expect = Some(match expect {
            Expect::Absent => None,
            Expect::Version(version) => Some(version),
        });
        if std::str::from_utf8(put.value.expose()).is_err() {
            return Err(conflict(self, slot, expect, None));
        }
        let written: Written = self.call("write", call)?;
        Ok(written.version)
    }

    fn remove(&self, slot: Slot, held: &Held) -> Result<(), StoreError> {
        let mut call = Call::new("remove");
        call.slot = Some(slot.name());
        call.expect = Some(Some(&held.version));
        let _: Removed = self.call("remove what it put there", call)?;
        Ok(())
    }
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;
    use crate::config::tests::section;
    use crate::store::contract::{self, key, note};
    use crate::store::open;

    const EXAMPLE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/store-program.sh");

    fn store(script: &str, arguments: &[&str]) -> Result<Box<dyn Store>, ConfigError> {
        let mut command = vec!["sh", script];
        command.extend(arguments);
        let text = format!("kind = 'program'\ncommand = {command:?}\nlimit = '20s'\n");
        open(&section(&text), &Outside::for_tests())
    }

    #[test]
    fn the_contract_holds_for_the_example() {
        let mut directories = Vec::new();
        let directories = std::cell::RefCell::new(&mut directories);
        contract::check(|| {
            let directory = tempfile::tempdir().unwrap();
            std::fs::write(directory.path().join("current.value"), key(1).expose()).unwrap();
            std::fs::write(directory.path().join("current.version"), "1").unwrap();
            let store = store(EXAMPLE, &[directory.path().to_str().unwrap()]).unwrap();
            directories.borrow_mut().push(directory);
            store
        });
    }

    fn saying(answer: &str) -> Result<Box<dyn Store>, ConfigError> {
        let directory = tempfile::tempdir().unwrap();
        let script = directory.path().join("s.sh");
        let described = r#"{"place":"p","two_versions":true,"reads_back":true,"gives_back":true,"check_and_set":"none","locks":false}"#;
        let text = format!(
            "read -r line\ncase $line in *describe*) echo '{described}';; *) {answer};; esac\n"
        );
        std::fs::write(&script, text).unwrap();
        let store = store(script.to_str().unwrap(), &[]);
        // The script is read anew for each call.
        std::mem::forget(directory);
        store
    }

    #[test]
    fn what_goes_wrong_is_told_apart() {
        let error = |answer: &str| saying(answer).unwrap().preflight().unwrap_err();
        let said = |name: &str| {
            error(&format!(
                "echo '{{\"error\":\"{name}\",\"reason\":\"because\"}}'"
            ))
        };
        assert!(matches!(said("denied"), StoreError::Denied { .. }));
        assert!(matches!(said("not_found"), StoreError::NotFound { .. }));
        assert!(matches!(said("refused"), StoreError::Refused { .. }));
        assert!(matches!(
            said("unreachable"),
            StoreError::Unreachable { sent: false, .. }
        ));
        assert!(matches!(
            error("echo garbage"),
            StoreError::Malformed { .. }
        ));
        let failed = error("echo why >&2; exit 4");
        assert!(failed.to_string().contains("why") && !failed.may_have_changed());
        let store =
            saying("case $line in *get*) echo '{\"held\":null}';; *) exit 1;; esac").unwrap();
        let lost = store.stage(&key(2), &note("r", &key(2))).unwrap_err();
        assert!(lost.may_have_changed(), "{lost}");
    }

    #[test]
    fn the_value_is_never_an_argument() {
        let directory = tempfile::tempdir().unwrap();
        let seen = directory.path().join("seen");
        let store = saying(&format!(
            "case $line in *get*) echo '{{\"held\":null}}';; *) tr '\\0' ' ' < /proc/$$/cmdline > '{0}'; env >> '{0}'; echo '{{\"version\":\"1\"}}';; esac",
            seen.display()
        ))
        .unwrap();
        store.stage(&key(2), &note("r", &key(2))).unwrap();
        let seen = std::fs::read_to_string(seen).unwrap_or_default();
        let value = String::from_utf8(key(2).expose().to_vec()).unwrap();
        assert!(!seen.contains(&value));
    }

    #[test]
    fn a_program_that_is_none_is_a_wrong_setting() {
        let said = |text: &str| {
            open(&section(text), &Outside::for_tests())
                .err()
                .unwrap()
                .to_string()
        };
        assert!(said("kind = 'program'\ncommand = []").contains("names a program"));
        assert!(said("kind = 'program'\ncommand = ['/nowhere/at-all']").contains("did not start"));
        assert!(said("kind = 'program'\ncommand = ['true']").contains("skewer.store/1"));
    }
}
