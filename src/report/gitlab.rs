//! GitLab's secret detection report, schema 15.2.4 of its security-report-schemas. It knows no
//! suppressed vulnerability and would show one as open again and again, so those are named in the
//! scan's messages instead.

use std::collections::BTreeMap;
use std::io::{self, Write};

use jiff::Timestamp;
use serde::Serialize;
use sha2::{Digest, Sha256};

use super::checks::sentence;
use super::view::{parts, status_word, suppressed_by, suppression_text};
use super::{Report, Run, count, ordered, wire};
use crate::finding::{Finding, Severity, Status};

pub(super) struct Gitlab;

const VERSION: &str = "15.2.4";
const SCHEMA: &str = "https://gitlab.com/gitlab-org/security-products/security-report-schemas/-/raw/v15.2.4/dist/secret-detection-report-format.json";

/// The schema wants a commit for each location; GitLab's own analyser writes this one where it
/// scanned no commit.
const NO_COMMIT: &str = "0000000";

/// Messages beyond this many are counted: GitLab shows them all on one page.
const MOST_MESSAGES: usize = 100;

#[derive(Serialize)]
struct Document<'a> {
    schema: &'static str,
    version: &'static str,
    scan: Scan<'a>,
    vulnerabilities: Vec<Vulnerability<'a>>,
}

#[derive(Serialize)]
struct Scan<'a> {
    analyzer: Tool<'a>,
    scanner: Tool<'a>,
    #[serde(rename = "type")]
    kind: &'static str,
    start_time: String,
    end_time: String,
    status: &'static str,
    messages: Vec<Message>,
}

#[derive(Serialize)]
struct Tool<'a> {
    id: &'static str,
    name: &'static str,
    version: &'a str,
    vendor: Vendor,
}

#[derive(Serialize)]
struct Vendor {
    name: &'static str,
}

#[derive(Serialize)]
struct Message {
    level: &'static str,
    value: String,
}

#[derive(Serialize)]
struct Vulnerability<'a> {
    id: String,
    name: String,
    description: String,
    severity: &'static str,
    solution: String,
    identifiers: [Identifier<'a>; 2],
    location: Location<'a>,
    details: BTreeMap<&'static str, Detail>,
}

#[derive(Serialize)]
struct Identifier<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    name: String,
    value: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    url: Option<&'static str>,
}

#[derive(Serialize)]
struct Location<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    file: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    start_line: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    end_line: Option<u64>,
    commit: Commit<'a>,
}

#[derive(Serialize)]
struct Commit<'a> {
    sha: &'a str,
}

#[derive(Serialize)]
struct Detail {
    #[serde(rename = "type")]
    kind: &'static str,
    name: &'static str,
    value: String,
}

/// A version 8 UUID over the key and its place: the same in every run.
fn uuid(finding: &Finding) -> String {
    let mut hash = Sha256::new();
    hash.update(finding.fingerprint.to_string());
    hash.update(finding.location.named().as_bytes());
    if let Some(path) = finding.location.place.path() {
        hash.update(path.raw().as_os_str().as_encoded_bytes());
    }
    hash.update([u8::from(finding.location.has_lines())]);
    hash.update(finding.location.offset.to_be_bytes());
    let mut id = [0; 16];
    id.copy_from_slice(&hash.finalize()[..16]);
    id[6] = id[6] & 0x0f | 0x80;
    id[8] = id[8] & 0x3f | 0x80;
    let hex: String = id.iter().map(|byte| format!("{byte:02x}")).collect();
    format!(
        "{}-{}-{}-{}-{}",
        &hex[..8],
        &hex[8..12],
        &hex[12..16],
        &hex[16..20],
        &hex[20..]
    )
}

fn severity(severity: Severity) -> &'static str {
    match severity {
        Severity::Low => "Low",
        Severity::Medium => "Medium",
        Severity::High => "High",
        Severity::Critical => "Critical",
    }
}

/// `text`, within the most characters that the schema allows.
fn at_most(text: &str, characters: usize) -> String {
    text.chars().take(characters).collect()
}

fn vulnerability<'a>(run: &Run<'_>, finding: &'a Finding, commit: &'a str) -> Vulnerability<'a> {
    let rule = &finding.rule;
    let location = &finding.location;
    // Lines of a member are no lines of its file.
    let in_file = location.has_lines() && location.members.is_empty();
    let line = in_file.then_some(location.line);
    let (before, key, after) = parts(&finding.context);
    let detail = |kind, name, value| Detail { kind, name, value };
    let mut details = BTreeMap::from([
        (
            "key",
            detail("text", "Key (masked)", finding.secret.mask().to_string()),
        ),
        (
            "fingerprint",
            detail("text", "Fingerprint", finding.fingerprint.to_string()),
        ),
        (
            "confidence",
            detail("text", "Confidence", finding.confidence.as_str().to_owned()),
        ),
        (
            "status",
            detail("text", "Status", status_word(&finding.status).to_owned()),
        ),
        ("place", detail("text", "Place", location.to_string())),
        (
            "line",
            detail("code", "Line (masked)", format!("{before}{key}{after}")),
        ),
    ]);
    if !finding.decoders.is_empty() {
        details.insert(
            "decoders",
            detail("text", "Decoded from", finding.decoders.join(", ")),
        );
    }
    if let Some(known) = sentence(run.checks, finding) {
        details.insert("verification", detail("text", "Verification", known));
    }
    Vulnerability {
        id: uuid(finding),
        name: at_most(&rule.title, 255),
        description: format!("{} {} at {location}", rule.title, finding.secret.mask()),
        severity: severity(rule.severity),
        solution: at_most(&rule.remedy, 7000),
        identifiers: [
            Identifier {
                kind: "skewer_rule",
                name: format!("skewer rule {}", rule.id),
                value: &rule.id,
                url: None,
            },
            Identifier {
                kind: "cwe",
                name: "CWE-798".to_owned(),
                value: "798",
                url: Some("https://cwe.mitre.org/data/definitions/798.html"),
            },
        ],
        location: Location {
            file: location
                .place
                .path()
                .map(|path| path.shown().text().into_owned()),
            start_line: line,
            end_line: line,
            commit: Commit { sha: commit },
        },
        details,
    }
}

fn messages(run: &Run<'_>, suppressed: &[&Finding]) -> Vec<Message> {
    let coverage = run.coverage;
    let mut all = Vec::new();
    let mut say = |level, value| all.push(Message { level, value });
    if coverage.interrupted {
        say(
            "fatal",
            "Stopped before the end: this report is not whole.".to_owned(),
        );
    }
    if coverage.failed > 0 {
        let items = count(coverage.failed, "item", "items");
        say("warn", format!("{items} could not be read."));
    }
    for failure in coverage.failures.iter().take(MOST_MESSAGES) {
        say("warn", format!("{}: {}", failure.what, failure.why));
    }
    for entry in &run.suppressions.expired {
        say(
            "warn",
            format!("Expired suppression: {} ({})", entry.what, entry.reason),
        );
    }
    if !suppressed.is_empty() {
        let findings = count(suppressed.len() as u64, "finding is", "findings are");
        say("info", format!("{findings} suppressed."));
    }
    for finding in suppressed.iter().take(MOST_MESSAGES) {
        if let Status::Suppressed(why) = &finding.status {
            let (key, place) = (finding.secret.mask(), &finding.location);
            let (by, text) = (suppressed_by(why), suppression_text(why));
            say(
                "info",
                format!("Suppressed by {by} ({text}): {key} at {place}"),
            );
        }
    }
    all
}

impl Report for Gitlab {
    fn finish(&mut self, run: &Run<'_>, out: &mut dyn Write) -> io::Result<()> {
        let commit = run.commit.unwrap_or(NO_COMMIT);
        let (suppressed, open): (Vec<&Finding>, Vec<&Finding>) = ordered(run.findings)
            .into_iter()
            .partition(|finding| matches!(finding.status, Status::Suppressed(_)));
        let tool = || Tool {
            id: "skewer",
            name: "skewer",
            version: run.version,
            vendor: Vendor { name: "skewer" },
        };
        let second = |time: Timestamp| time.strftime("%Y-%m-%dT%H:%M:%S").to_string();
        // A clock near the end of time is the only way for the sum to fail.
        let ended = run.started.checked_add(run.elapsed).unwrap_or(run.started);
        wire::write_json(
            out,
            &Document {
                schema: SCHEMA,
                version: VERSION,
                scan: Scan {
                    analyzer: tool(),
                    scanner: tool(),
                    kind: "secret_detection",
                    start_time: second(run.started),
                    end_time: second(ended),
                    status: match run.coverage.is_complete() {
                        true => "success",
                        false => "failure",
                    },
                    messages: messages(run, &suppressed),
                },
                vulnerabilities: open
                    .into_iter()
                    .map(|finding| vulnerability(run, finding, commit))
                    .collect(),
            },
        )
    }
}
