//! Every format over one fixture: its snapshot, and what must hold for all of them.
#![cfg(unix)]
// The helpers of tests are tests too.
#![allow(clippy::unwrap_used)]

mod fixture;

use std::collections::HashSet;
use std::io::{self, Write};
use std::path::Path;

use fixture::{Fixture, clean, complete, partial, verified};
use insta::assert_snapshot;
use serde_json::Value;
use skewer::report::{FORMATS, Mode, Options, Stopped, format};

const SHORT: Mode = Mode::Short(Stopped::Commit);

fn all(fixture: &Fixture, options: &Options) -> Vec<(String, String)> {
    let mut out: Vec<_> = FORMATS
        .iter()
        .map(|format| (format.name.to_owned(), fixture.render(format.name, options)))
        .collect();
    for mode in [Mode::Live, SHORT] {
        let text = fixture.render("text", &Options { mode, ..*options });
        out.push((format!("text {mode:?}"), text));
    }
    out
}

macro_rules! snapshots {
    ($($test:ident: $format:literal;)*) => {
        $(#[test]
        fn $test() {
            let mut whole = complete();
            if $format != "text" {
                // The log files that only text folds together.
                whole.findings.drain(2..23);
            }
            assert_snapshot!($format, whole.render($format, &Options::default()));
            let mut partial = partial();
            // A whole thousand of failures says no more than two.
            partial.coverage.failures.truncate(2);
            partial.findings.truncate(2);
            assert_snapshot!(concat!($format, "-partial"), partial.render($format, &Options::default()));
        })*
    };
}

snapshots! {
    text_for_people: "text";
    one_document: "json";
    lines_as_they_come: "jsonl";
    sarif_for_code_scanning: "sarif";
    gitlab_secret_detection: "gitlab";
    github_annotations: "github";
    junit_cases: "junit";
    csv_rows: "csv";
}

#[test]
fn the_snapshots_cover_the_registry() {
    let names: Vec<&str> = FORMATS.iter().map(|format| format.name).collect();
    assert_eq!(
        names,
        [
            "text", "json", "jsonl", "sarif", "gitlab", "github", "junit", "csv"
        ]
    );
    assert!(format("yaml").is_none());
}

#[test]
fn text_has_other_moods() {
    let of = |fixture: &Fixture, mode, color| {
        let options = Options {
            mode,
            color,
            ..Options::default()
        };
        fixture.render("text", &options)
    };
    let mut small = complete();
    small.findings.retain(|finding| {
        matches!(finding.rule.severity.as_str(), "critical") || !finding.counts()
    });
    assert_snapshot!(
        "text-color",
        of(&small, Mode::Full, true).replace('\u{1b}', "\\e")
    );
    assert_snapshot!("text-live", of(&complete(), Mode::Live, false));
    assert_snapshot!("text-commit", of(&small, SHORT, false));
    assert_snapshot!(
        "text-commit-color",
        of(&small, SHORT, true).replace('\u{1b}', "\\e")
    );
    assert_snapshot!(
        "text-push",
        of(&partial(), Mode::Short(Stopped::Push), false)
    );
    assert_snapshot!("text-clean", of(&clean(), Mode::Full, false));
    let mut unread = partial();
    unread.findings.clear();
    unread.coverage.interrupted = false;
    unread.coverage.failed = 2;
    unread.coverage.failures.truncate(2);
    assert_snapshot!("text-commit-unread", of(&unread, SHORT, false));
    small.findings.retain(|finding| !finding.counts());
    assert_snapshot!("text-commit-before", of(&small, SHORT, false));
}

#[test]
fn what_is_known_of_keys_is_told_in_every_form() {
    let fixture = verified();
    for format in FORMATS {
        let text = fixture.render(format.name, &Options::default());
        assert!(text.contains("live, without money"), "{}", format.name);
    }
    assert_snapshot!("text-verified", fixture.render("text", &Options::default()));
}

#[test]
fn a_hook_that_has_nothing_to_say_is_silent() {
    let mut quiet = clean();
    quiet.coverage.accepted.clear();
    let options = Options {
        mode: SHORT,
        ..Options::default()
    };
    assert_eq!(quiet.render("text", &options), "");
}

/// `%41` → `A`.
fn percent_decoded(text: &str) -> String {
    let mut out = Vec::new();
    let mut rest = text.as_bytes();
    while let Some((&first, after)) = rest.split_first() {
        let hex = after.get(..2).and_then(|h| std::str::from_utf8(h).ok());
        match hex.and_then(|h| u8::from_str_radix(h, 16).ok()) {
            Some(byte) if first == b'%' => {
                out.push(byte);
                rest = &after[2..];
            }
            _ => {
                out.push(first);
                rest = after;
            }
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

/// More of a key than the ends that may be shown, anywhere in `text`.
fn leak<'a>(text: &'a str, fixture: &Fixture) -> Option<&'a [u8]> {
    const SHOWN: usize = 8;
    let windows: HashSet<&[u8]> = fixture
        .keys
        .iter()
        .flat_map(|key| key.as_bytes().windows(SHOWN + 1))
        // The prefix alone is no part of the secret.
        .filter(|window| !b"sk-svcacct-".windows(SHOWN + 1).any(|w| w == *window))
        .collect();
    text.as_bytes()
        .windows(SHOWN + 1)
        .find(|window| windows.contains(window))
}

#[test]
fn no_format_shows_more_of_a_key_than_its_ends() {
    for mut fixture in [complete(), partial()] {
        fixture.coverage.failures.truncate(20);
        // `reveal` has no say in the formats that don't know it.
        for reveal in [false, true] {
            let options = Options {
                reveal,
                ..Options::default()
            };
            for (name, text) in all(&fixture, &options) {
                if reveal && format(&name).is_some_and(|format| format.reveals) {
                    assert!(leak(&text, &fixture).is_some(), "this test sees nothing");
                    continue;
                }
                for text in [percent_decoded(&text), text] {
                    assert_eq!(leak(&text, &fixture), None, "{name}");
                    assert!(!text.contains("hunter2"), "{name}");
                }
            }
        }
    }
}

#[test]
fn revealed_keys_stand_in_the_field_secret_alone() {
    fn check(value: &Value, keys: &[String], found: &mut usize) {
        match value {
            Value::Object(fields) => {
                for (field, value) in fields {
                    match (field.as_str(), value) {
                        ("secret", Value::String(secret)) => {
                            assert!(keys.contains(secret));
                            *found += 1;
                        }
                        _ => check(value, keys, found),
                    }
                }
            }
            Value::Array(values) => values.iter().for_each(|v| check(v, keys, found)),
            Value::String(text) => {
                for key in keys {
                    assert!(!text.contains(&key[8..17]), "{text}");
                }
            }
            _ => {}
        }
    }
    let fixture = complete();
    let options = Options {
        reveal: true,
        ..Options::default()
    };
    for name in ["json", "jsonl"] {
        let text = fixture.render(name, &options);
        let mut found = 0;
        for value in serde_json::Deserializer::from_str(&text).into_iter() {
            check(&value.unwrap(), &fixture.keys, &mut found);
        }
        assert_eq!(found, fixture.findings.len());
        assert!(
            !fixture
                .render(name, &Options::default())
                .contains("\"secret\"")
        );
    }
}

#[test]
fn no_format_lets_a_name_drive_the_terminal() {
    let both = [partial(), verified()];
    for (name, text) in both.iter().flat_map(|f| all(f, &Options::default())) {
        let text = match name.as_str() {
            "csv" => text.replace("\r\n", "\n"),
            _ => text,
        };
        let bad = text
            .chars()
            .find(|c| (c.is_control() && *c != '\n') || matches!(c, '\u{202a}'..='\u{202e}'));
        assert_eq!(bad, None, "{name}");
    }
    // No name starts a workflow command of its own.
    let commands = partial().render("github", &Options::default());
    let allowed = [
        "::error file=",
        "::error title=",
        "::warning file=",
        "::warning title=",
        "::notice file=",
        "::notice title=",
        "skewer: ",
    ];
    for line in commands.lines() {
        assert!(
            allowed.iter().any(|start| line.starts_with(start)),
            "{line}"
        );
    }
}

#[test]
fn the_order_of_arrival_changes_nothing() {
    let mut fixture = complete();
    let options = Options::default();
    let is_sorted = |name: &str| !(format(name).unwrap().make)(&options).streams();
    let names: Vec<&str> = FORMATS
        .iter()
        .map(|f| f.name)
        .filter(|n| is_sorted(n))
        .collect();
    let first: Vec<String> = names.iter().map(|n| fixture.render(n, &options)).collect();
    fixture.findings.reverse();
    fixture.findings.rotate_left(7);
    let second: Vec<String> = names.iter().map(|n| fixture.render(n, &options)).collect();
    assert!(names.len() >= 7 && first == second);
}

#[test]
fn a_partial_report_never_looks_whole() {
    let mut stopped = clean();
    stopped.coverage.interrupted = true;
    let whole = clean();
    let options = Options::default();
    for (name, sign) in [
        ("text", "! Stopped before the end"),
        ("json", "\"complete\": false"),
        ("jsonl", "\"complete\":false"),
        ("sarif", "\"executionSuccessful\": false"),
        ("gitlab", "\"status\": \"failure\""),
        ("github", "::warning title=Incomplete::"),
        ("junit", "<error message=\"stopped"),
        ("csv", "interrupted,"),
    ] {
        assert!(stopped.render(name, &options).contains(sign), "{name}");
        assert!(!whole.render(name, &options).contains(sign), "{name}");
    }
}

#[test]
fn a_closed_pipe_is_told_as_one() {
    struct Closed;
    impl Write for Closed {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(io::ErrorKind::BrokenPipe.into())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let fixture = complete();
    for format in FORMATS {
        let mut report = (format.make)(&Options::default());
        let error = report.finish(&fixture.run(), &mut Closed).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::BrokenPipe, "{}", format.name);
    }
}

#[test]
fn sarif_is_cut_to_what_code_scanning_takes_and_says_so() {
    let mut fixture = complete();
    let (other, counting): (Vec<_>, Vec<_>) = fixture.findings.drain(..).partition(|f| !f.counts());
    fixture.findings = other;
    fixture
        .findings
        .extend(counting.iter().cycle().take(5001).cloned());
    let text = fixture.render("sarif", &Options::default());
    let log: Value = serde_json::from_str(&text).unwrap();
    let run = &log["runs"][0];
    let results = run["results"].as_array().unwrap();
    assert_eq!(results.len(), 5000);
    assert_eq!(run["properties"]["resultsCut"], 4);
    assert!(
        results
            .iter()
            .all(|r| r["properties"]["status"] == "counts")
    );
    let notes = &run["invocations"][0]["toolExecutionNotifications"];
    assert!(notes.to_string().contains("4 results were left out"));
}

#[test]
fn gitlab_ids_are_unique_and_suppressed_keys_are_no_open_vulnerability() {
    let text = complete().render("gitlab", &Options::default());
    let report: Value = serde_json::from_str(&text).unwrap();
    let open = report["vulnerabilities"].as_array().unwrap();
    let ids: std::collections::BTreeSet<_> =
        open.iter().map(|v| v["id"].as_str().unwrap()).collect();
    assert_eq!(ids.len(), open.len());
    assert!(!open.iter().any(|v| v["location"]["file"] == "docs/case.md"));
    assert!(
        report["scan"]["messages"]
            .to_string()
            .contains("docs/case.md")
    );
}

/// Reports for `tests/schemas/check.py`, which holds them against the standards' own schemas.
#[test]
fn reports_are_laid_out_for_the_schema_check() {
    let into = Path::new(env!("CARGO_TARGET_TMPDIR")).join("reports");
    std::fs::create_dir_all(&into).unwrap();
    for (name, fixture) in [
        ("complete", complete()),
        ("partial", partial()),
        ("verified", verified()),
        ("clean", clean()),
    ] {
        for format in FORMATS {
            for reveal in [false, format.reveals] {
                let options = Options {
                    reveal,
                    ..Options::default()
                };
                let file = match reveal {
                    true => format!("{name}-revealed.{}", format.name),
                    false => format!("{name}.{}", format.name),
                };
                std::fs::write(into.join(file), fixture.render(format.name, &options)).unwrap();
            }
        }
    }
}
