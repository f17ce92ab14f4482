//! SARIF 2.1.0, for code scanning. Regions name whole lines and exact bytes: SARIF counts columns
//! in characters and we count bytes; the column is a property of the result.

mod model;

use std::collections::BTreeMap;
use std::io::{self, Write};

use self::model::*;
use super::checks::{ChecksView, sentence};
use super::view::{CoverageView, parts, status_word, suppression_text};
use super::wire::{self, Uri};
use super::{Report, Run, count, ordered};
use crate::finding::{Finding, RuleInfo, Severity, Status, Suppression};

pub(super) struct Sarif;

const SCHEMA: &str = "https://json.schemastore.org/sarif-2.1.0.json";

/// The root that relative URIs start from; GitHub knows this name.
const ROOT: &str = "%SRCROOT%";

/// GitHub refuses more than 25,000 results or 10 MB, and shows 5,000: more would cost the report.
const MOST_RESULTS: usize = 5000;

/// Notifications beyond this many are counted.
const MOST_NOTIFICATIONS: usize = 100;

fn level(severity: Severity) -> &'static str {
    match severity {
        Severity::Low => "note",
        Severity::Medium => "warning",
        Severity::High | Severity::Critical => "error",
    }
}

/// GitHub's scale: above 9.0 is critical, from 7.0 high, from 4.0 medium.
fn security_severity(severity: Severity) -> &'static str {
    match severity {
        Severity::Low => "3.0",
        Severity::Medium => "5.5",
        Severity::High => "8.0",
        Severity::Critical => "9.5",
    }
}

/// A message. Brackets and braces are escaped where they could make a link or a placeholder.
fn text(text: impl ToString) -> Text {
    let mut text = text.to_string();
    if text.contains("](") {
        text = text.replace('[', "\\[").replace(']', "\\]");
    }
    let is_placeholder = |pair: &[u8]| pair[0] == b'{' && pair[1].is_ascii_digit();
    if text.as_bytes().windows(2).any(is_placeholder) {
        text = text.replace('{', "{{").replace('}', "}}");
    }
    Text { text }
}

fn rule(rule: &RuleInfo) -> Descriptor<'_> {
    Descriptor {
        id: &rule.id,
        name: Some(&rule.kind),
        short_description: text(&rule.title),
        full_description: Some(text(format!("{} in plain sight", rule.title))),
        help: Some(text(&rule.remedy)),
        default_configuration: Some(Configuration {
            level: level(rule.severity),
        }),
        properties: Some(RuleProperties {
            tags: ["security", "secret"],
            security_severity: security_severity(rule.severity),
        }),
    }
}

fn location(finding: &Finding) -> LocationObject {
    let place = &finding.location.place;
    let name = place.masked();
    if place.path().is_none() {
        return LocationObject {
            physical_location: None,
            logical_locations: Some([LogicalLocation {
                fully_qualified_name: finding.location.named().text().into_owned(),
                kind: "resource",
            }]),
        };
    }
    // Lines of a member are no lines of its file: the member is a place of its own.
    let members = &finding.location.members;
    let in_file = finding.location.has_lines() && members.is_empty();
    let (uri, uri_base_id) = match wire::uri(name.as_bytes()) {
        Uri::Relative(uri) => (uri, Some(ROOT)),
        Uri::Absolute(uri) => (uri, None),
    };
    let (before, key, after) = parts(&finding.context);
    LocationObject {
        physical_location: Some(PhysicalLocation {
            artifact_location: ArtifactLocation { uri, uri_base_id },
            region: in_file.then(|| Region {
                start_line: finding.location.line,
                byte_offset: finding.location.offset,
                byte_length: finding.location.length,
                snippet: Text {
                    text: format!("{}{}{}", before.text(), key.text(), after.text()),
                },
            }),
        }),
        logical_locations: (!members.is_empty()).then(|| {
            [LogicalLocation {
                fully_qualified_name: finding.location.named().text().into_owned(),
                kind: "resource",
            }]
        }),
    }
}

fn result<'a>(run: &Run<'_>, finding: &'a Finding, rule_index: usize) -> ResultObject<'a> {
    let suppression = |why: &Suppression| SuppressionObject {
        kind: match why {
            Suppression::Marker { .. } => "inSource",
            Suppression::Baseline { .. } => "external",
        },
        status: "accepted",
        justification: suppression_text(why).to_owned(),
    };
    ResultObject {
        rule_id: &finding.rule.id,
        rule_index,
        level: match finding.status {
            Status::Before => "note",
            _ => level(finding.rule.severity),
        },
        message: text(format!(
            "{} {}{}. {}",
            finding.rule.title,
            finding.secret.mask(),
            match finding.location.has_lines() {
                true => "",
                false => " in the name of the file itself",
            },
            finding.rule.remedy,
        )),
        locations: [location(finding)],
        partial_fingerprints: BTreeMap::from([(
            "skewerFingerprint/v1",
            finding.fingerprint.to_string(),
        )]),
        // Empty means "not suppressed", and must be said if any result is.
        suppressions: match &finding.status {
            Status::Suppressed(why) => vec![suppression(why)],
            Status::Counts | Status::Before => Vec::new(),
        },
        properties: ResultProperties {
            status: status_word(&finding.status),
            confidence: finding.confidence.as_str(),
            key: finding.secret.mask().to_string(),
            column: finding.location.column,
            decoders: &finding.decoders,
            verification: sentence(run.checks, finding),
        },
    }
}

const FAILED: (&str, &str) = ("failed", "Something could not be read");
const INTERRUPTED: (&str, &str) = ("interrupted", "The run was stopped before its end");
const CUT: (&str, &str) = ("cut", "There were more results than this log may hold");
const SUPPRESSION: (&str, &str) = ("suppression", "A suppression is unused or expired");

fn notifications(run: &Run<'_>, cut: usize) -> Vec<Notification> {
    let coverage = run.coverage;
    let mut all = Vec::new();
    let mut say = |(id, _): (&'static str, &str), level, message: String| {
        all.push(Notification {
            descriptor: DescriptorReference { id },
            level,
            message: text(message),
        })
    };
    if coverage.interrupted {
        let message = "Stopped before the end: this report is not whole.";
        say(INTERRUPTED, "error", message.to_owned());
    }
    if cut > 0 {
        let results = count(cut as u64, "result was", "results were");
        say(
            CUT,
            "warning",
            format!("{results} left out of this log; other formats hold all."),
        );
    }
    if coverage.failed > 0 {
        let items = count(coverage.failed, "item", "items");
        say(FAILED, "error", format!("{items} could not be read."));
    }
    for failure in coverage.failures.iter().take(MOST_NOTIFICATIONS) {
        say(
            FAILED,
            "error",
            format!("{}: {}", failure.what.text(), failure.why),
        );
    }
    for failure in coverage.accepted.iter().take(MOST_NOTIFICATIONS) {
        let message = format!(
            "Accepted beforehand: {}: {}",
            failure.what.text(),
            failure.why
        );
        say(FAILED, "note", message);
    }
    for entry in &run.suppressions.expired {
        let message = format!("Expired: {} ({})", entry.what.text(), entry.reason.text());
        say(SUPPRESSION, "warning", message);
    }
    for entry in &run.suppressions.unused {
        let message = format!("Unused: {} ({})", entry.what.text(), entry.reason.text());
        say(SUPPRESSION, "note", message);
    }
    all
}

impl Report for Sarif {
    fn finish(&mut self, run: &Run<'_>, out: &mut dyn Write) -> io::Result<()> {
        let mut findings = ordered(run.findings);
        let cut = findings.len().saturating_sub(MOST_RESULTS);
        if cut > 0 {
            // What counts is kept before what doesn't.
            findings.sort_by_key(|finding| !finding.counts());
            findings.truncate(MOST_RESULTS);
        }
        let mut rules: Vec<&RuleInfo> = Vec::new();
        let mut results = Vec::with_capacity(findings.len());
        for finding in findings {
            let known = rules.iter().position(|rule| rule.id == finding.rule.id);
            let index = known.unwrap_or_else(|| {
                rules.push(&finding.rule);
                rules.len() - 1
            });
            results.push(result(run, finding, index));
        }
        let ended = run.started.checked_add(run.elapsed).unwrap_or(run.started);
        let kind = |(id, description): (&'static str, &str)| Descriptor {
            id,
            name: None,
            short_description: text(description),
            full_description: None,
            help: None,
            default_configuration: None,
            properties: None,
        };
        wire::write_json(
            out,
            &Log {
                schema: SCHEMA,
                version: "2.1.0",
                runs: [RunObject {
                    tool: Tool {
                        driver: Driver {
                            name: "skewer",
                            semantic_version: run.version,
                            rules: rules.into_iter().map(rule).collect(),
                            notifications: [FAILED, INTERRUPTED, CUT, SUPPRESSION].map(kind).into(),
                        },
                    },
                    invocations: [Invocation {
                        execution_successful: run.coverage.is_complete(),
                        exit_code: run.exit_code,
                        start_time_utc: run.started.strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
                        end_time_utc: ended.strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
                        tool_execution_notifications: notifications(run, cut),
                    }],
                    original_uri_base_ids: BTreeMap::from([(
                        ROOT,
                        BaseId {
                            description: text("The root of what was scanned."),
                        },
                    )]),
                    results,
                    properties: RunProperties {
                        target: run.target.text().into_owned(),
                        coverage: CoverageView::new(run),
                        verification: run.checks.map(ChecksView::new),
                        commit: run.commit,
                        results_cut: cut,
                    },
                }],
            },
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_hold_no_link_and_no_placeholder_of_their_own() {
        assert_eq!(text("[a](b)").text, "\\[a\\](b)");
        assert_eq!(text("{0} {x}").text, "{{0}} {{x}}");
        assert_eq!(text("app/[id]/{slug}.ts").text, "app/[id]/{slug}.ts");
    }
}
