//! Reads keys again where a report says that they were found: reports hold no keys.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use serde_json::Value;

use crate::coverage::Coverage;
use crate::matcher::Matcher;
use crate::repo::{GitEnvironment, NewObject, ObjectId, Repository, path_from_bytes};
use crate::scan::{Outcome, Scan};
use crate::secret::Fingerprint;
use crate::verdict::Since;

/// A finding as a report has it.
pub(super) struct Recorded {
    fingerprint: Fingerprint,
    /// The place's name, for people.
    name: String,
    place: Place,
    /// When it was first committed, if the report knows.
    since: Option<Since>,
}

impl Recorded {
    /// The key, and since when it is known to be exposed.
    pub(super) fn dated(&self) -> Option<(Fingerprint, Since)> {
        Some((self.fingerprint, self.since?))
    }
}

/// Where it can be read again.
enum Place {
    File(PathBuf),
    Object {
        id: String,
        path: Option<String>,
    },
    /// Nowhere: a stream is gone.
    Stream,
}

/// A report larger than this is no report of ours.
const LARGEST_REPORT: u64 = 1 << 30;

/// The bytes of a report.
///
/// # Errors
/// It can't be read.
pub(super) fn read(path: &Path) -> anyhow::Result<Vec<u8>> {
    let wrong = || format!("can't read the report {}", path.display());
    let file = std::fs::File::open(path).with_context(wrong)?;
    let mut bytes = Vec::new();
    file.take(LARGEST_REPORT)
        .read_to_end(&mut bytes)
        .with_context(wrong)?;
    Ok(bytes)
}

/// What a report (JSON or JSON lines) says of the whole run.
pub(super) fn summary(bytes: &[u8]) -> Result<Value, String> {
    if let Ok(whole) = serde_json::from_slice::<Value>(bytes)
        && whole["schema"] == "skewer.report/1"
    {
        return Ok(whole);
    }
    let mut lines = bytes.split(|b| *b == b'\n').filter(|line| !line.is_empty());
    let last = lines.next_back().map(serde_json::from_slice::<Value>);
    match last {
        Some(Ok(line)) if line["schema"] == "skewer.line/1" && line["type"] == "summary" => {
            Ok(line)
        }
        _ => Err("it is no whole JSON report of ours: make one with `--format json`".to_owned()),
    }
}

/// Reads a report: JSON, JSON lines or SARIF.
pub(super) fn parse(bytes: &[u8]) -> Result<Vec<Recorded>, String> {
    if let Ok(whole) = serde_json::from_slice::<Value>(bytes)
        && whole["schema"] != "skewer.line/1"
    {
        return document(&whole);
    }
    let mut found = Vec::new();
    let lines = bytes.split(|b| *b == b'\n').filter(|line| !line.is_empty());
    for (number, line) in lines.enumerate() {
        let line: Value =
            serde_json::from_slice(line).map_err(|_| format!("line {} is no JSON", number + 1))?;
        if line["schema"] != "skewer.line/1" {
            return Err(format!("line {} is not of a report of ours", number + 1));
        }
        if line["type"] == "finding" {
            found.extend(finding(&line)?);
        }
    }
    Ok(found)
}

fn document(whole: &Value) -> Result<Vec<Recorded>, String> {
    let each = |all: &Value, one: fn(&Value) -> Result<Option<Recorded>, String>| {
        let all = all.as_array().map(Vec::as_slice).unwrap_or_default();
        let read: Result<Vec<_>, _> = all.iter().map(one).collect();
        Ok(read?.into_iter().flatten().collect())
    };
    if whole["schema"] == "skewer.report/1" {
        return each(&whole["findings"], finding);
    }
    let run = &whole["runs"][0];
    if run["tool"]["driver"]["name"] == "skewer" {
        return each(&run["results"], result);
    }
    Err("it is not a report of ours".to_owned())
}

fn fingerprint(value: &Value) -> Result<Fingerprint, String> {
    let text = value.as_str().unwrap_or_default();
    text.parse()
        .map_err(|_| "a finding has no fingerprint".to_owned())
}

/// A finding of the JSON forms; `None` if it doesn't count.
fn finding(value: &Value) -> Result<Option<Recorded>, String> {
    if value["status"] != "counts" {
        return Ok(None);
    }
    let location = &value["location"];
    let text = |value: &Value| value.as_str().map(str::to_owned);
    let name = text(&location["name"]).unwrap_or_default();
    let first = location["history"]["first"]["time"].as_i64();
    let path = text(&location["history"]["paths"][0]);
    let place = match (location["type"].as_str(), text(&location["blob"])) {
        (Some("staged"), Some(id)) => Place::Object {
            id,
            path: Some(name.clone()),
        },
        (Some("object"), Some(id)) => Place::Object { id, path },
        (Some("file" | "file_name"), _) => Place::File(match location["uri"].as_str() {
            Some(uri) => decoded(uri),
            None => PathBuf::from(&name),
        }),
        _ => Place::Stream,
    };
    Ok(Some(Recorded {
        fingerprint: fingerprint(&value["fingerprint"])?,
        name,
        place,
        since: first.map(|at| Since {
            at,
            by: "first commit",
        }),
    }))
}

/// A result of SARIF; `None` if it doesn't count.
fn result(value: &Value) -> Result<Option<Recorded>, String> {
    if value["properties"]["status"] != "counts" {
        return Ok(None);
    }
    let uri = &value["locations"][0]["physicalLocation"]["artifactLocation"]["uri"];
    let place = uri.as_str().map(decoded);
    Ok(Some(Recorded {
        fingerprint: fingerprint(&value["partialFingerprints"]["skewerFingerprint/v1"])?,
        name: uri.as_str().unwrap_or("a stream").to_owned(),
        place: place.map_or(Place::Stream, Place::File),
        since: None,
    }))
}

/// A path that was percent-encoded, byte by byte.
fn decoded(uri: &str) -> PathBuf {
    let text = uri.strip_prefix("file://").unwrap_or(uri).as_bytes();
    let mut bytes = Vec::with_capacity(text.len());
    let mut at = 0;
    while at < text.len() {
        let digits = text
            .get(at + 1..at + 3)
            .and_then(|d| std::str::from_utf8(d).ok());
        let byte = digits.and_then(|digits| u8::from_str_radix(digits, 16).ok());
        match (text[at], byte) {
            (b'%', Some(byte)) => {
                bytes.push(byte);
                at += 3;
            }
            (other, _) => {
                bytes.push(other);
                at += 1;
            }
        }
    }
    path_from_bytes(&bytes)
}

/// Searches each place again and keeps the keys that the report names. One that is not there any
/// more is a failure: nothing could be found out about it.
pub(super) fn all(recorded: &[Recorded], root: &Path, matcher: &Matcher, run: Scan<'_>) -> Outcome {
    let mut files = BTreeSet::new();
    let mut objects: BTreeMap<&str, Option<&str>> = BTreeMap::new();
    for one in recorded {
        match &one.place {
            Place::File(path) => {
                files.insert(root.join(path));
            }
            Place::Object { id, path } => {
                objects.insert(id, path.as_deref());
            }
            Place::Stream => {}
        }
    }
    let (there, missing): (Vec<PathBuf>, Vec<PathBuf>) =
        files.into_iter().partition(|path| path.is_file());
    run.paths(there.iter());
    let mut problems = Coverage::default();
    if !objects.is_empty() {
        let environment = GitEnvironment::from_lookup(|name| std::env::var_os(name));
        match Repository::discover(root, &environment) {
            Ok(repository) => run.pushed(&repository, &new_objects(&objects)),
            Err(error) => problems.fail(matcher.redact(b"git's objects"), error.to_string()),
        }
    }
    let mut outcome = run.into_outcome();
    let wanted: BTreeSet<Fingerprint> = recorded.iter().map(|one| one.fingerprint).collect();
    outcome
        .findings
        .retain(|finding| wanted.contains(&finding.fingerprint));
    let found: BTreeSet<Fingerprint> = outcome.findings.iter().map(|f| f.fingerprint).collect();
    let mut told = BTreeSet::new();
    for one in recorded {
        if found.contains(&one.fingerprint) || !told.insert(one.fingerprint) {
            continue;
        }
        let why = match &one.place {
            Place::Stream => "the key was found in a stream, which can't be read again",
            Place::File(path) if missing.contains(&root.join(path)) => {
                "there is no such file any more; --root says where the report's paths begin"
            }
            _ => "the key is not there any more, so nothing can be found out about it",
        };
        problems.fail(matcher.redact(one.name.as_bytes()), why);
    }
    outcome.coverage.merge(problems);
    outcome
}

fn new_objects(objects: &BTreeMap<&str, Option<&str>>) -> Vec<NewObject> {
    let new = |(id, path): (&&str, &Option<&str>)| {
        Some(NewObject {
            id: ObjectId::from_hex(id.as_bytes())?,
            path: path.map(|path| path.as_bytes().to_vec()),
        })
    };
    objects.iter().filter_map(new).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_come_back_byte_by_byte() {
        assert_eq!(decoded("src/a%20b.rs"), PathBuf::from("src/a b.rs"));
        assert_eq!(decoded("file:///etc/x%25"), PathBuf::from("/etc/x%"));
        assert_eq!(decoded("odd%zz%4"), PathBuf::from("odd%zz%4"));
    }

    #[test]
    fn what_is_no_report_is_refused() {
        for text in [
            "",
            "{}",
            "[1]",
            "{\"schema\":\"other/1\"}",
            "{\"schema\":\"skewer.report/1\",\"findings\":[{\"status\":\"counts\"}]}",
            "{\"schema\":\"skewer.line/1\"}\nx",
        ] {
            let read = parse(text.as_bytes());
            assert!(text.is_empty() || read.is_err(), "{text}");
        }
    }
}
