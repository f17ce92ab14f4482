//! JUnit XML: a failed test for each place of a key, a skipped one for what does not count, an
//! error for what could not be read, so that no dashboard takes a partial run for a clean one.

use std::io::{self, Write};

use quick_junit::{
    NonSuccessKind, Report as Document, TestCase, TestCaseStatus, TestSuite, XmlString,
};

use super::checks::sentence;
use super::view::{parts, suppressed_by, suppression_text};
use super::{Report, Run, count, ordered, wire};
use crate::finding::{Finding, Status};

pub(super) struct Junit;

/// quick-junit drops control characters; these two are no XML either.
fn xml(text: impl AsRef<str>) -> XmlString {
    XmlString::new(text.as_ref().replace(['\u{fffe}', '\u{ffff}'], "\u{fffd}"))
}

fn case(name: &str, class: &str, status: TestCaseStatus) -> TestCase {
    let mut case = TestCase::new(xml(name), status);
    case.set_classname(xml(class));
    case
}

fn error(name: &str, class: &str, kind: &str, message: &str) -> TestCase {
    let mut status = TestCaseStatus::non_success(NonSuccessKind::Error);
    status.set_type(kind).set_message(xml(message));
    case(name, class, status)
}

fn finding(run: &Run<'_>, finding: &Finding) -> TestCase {
    let rule = &finding.rule;
    let title = wire::tame(&rule.title);
    let message = format!("{title} {}", finding.secret.mask());
    let mut status = match &finding.status {
        Status::Counts => {
            let mut status = TestCaseStatus::non_success(NonSuccessKind::Failure);
            status.set_message(xml(&message));
            status
        }
        Status::Before => {
            let mut status = TestCaseStatus::skipped();
            status.set_message(xml(format!("{message}: was there before this change")));
            status
        }
        Status::Suppressed(why) => {
            let (by, text) = (suppressed_by(why), wire::tame(suppression_text(why)));
            let mut status = TestCaseStatus::skipped();
            status.set_message(xml(format!("{message}: suppressed by {by}: {text}")));
            status
        }
    };
    let (before, key, after) = parts(&finding.context);
    let remedy = wire::tame(&rule.remedy);
    let decoders = match finding.decoders.is_empty() {
        true => String::new(),
        false => format!("\nDecoded from: {}", finding.decoders.join(", ")),
    };
    let known = sentence(run.checks, finding).map(|known| format!("\nVerification: {known}"));
    let known = known.unwrap_or_default();
    status.set_type(rule.id.as_str()).set_description(xml(format!(
        "{}\n{before}{key}{after}\nSeverity: {}\nConfidence: {}\nFingerprint: {}{decoders}{known}\n{remedy}",
        finding.location,
        rule.severity.as_str(),
        finding.confidence.as_str(),
        finding.fingerprint,
    )));
    case(
        &format!("{message} at {}", finding.location),
        &finding.location.named().to_string(),
        status,
    )
}

impl Report for Junit {
    fn finish(&mut self, run: &Run<'_>, out: &mut dyn Write) -> io::Result<()> {
        let coverage = run.coverage;
        let mut suite = TestSuite::new(xml(format!("skewer {}", run.target)));
        suite.set_time(run.elapsed);
        suite.add_property(("version", run.version));
        suite.add_property(("read.items", coverage.read.items.to_string().as_str()));
        suite.add_property(("read.bytes", coverage.read.bytes.to_string().as_str()));
        for (why, tally) in &coverage.excluded {
            let name = format!("excluded.{}", why.as_str());
            suite.add_property((name, tally.items.to_string()));
        }
        suite.add_property(("complete", coverage.is_complete().to_string().as_str()));
        suite.add_test_cases(
            ordered(run.findings)
                .into_iter()
                .map(|each| finding(run, each)),
        );
        for failure in &coverage.failures {
            let what = failure.what.to_string();
            let why = wire::tame(&failure.why).to_string();
            suite.add_test_case(error(&format!("read {what}"), &what, "failed", &why));
        }
        let more = coverage
            .failed
            .saturating_sub(coverage.failures.len() as u64);
        if more > 0 {
            let message = format!(
                "{} could not be read",
                count(more, "more item", "more items")
            );
            suite.add_test_case(error("read the rest", "skewer", "failed", &message));
        }
        if coverage.interrupted {
            let message = "stopped before the end: this report is not whole";
            suite.add_test_case(error("read to the end", "skewer", "interrupted", message));
        }
        if suite.tests == 0 {
            let read = count(coverage.read.items, "item", "items");
            suite.add_test_case(case(
                &format!("no key in {read}"),
                "skewer",
                TestCaseStatus::success(),
            ));
        }
        let mut document = Document::new("skewer");
        document.set_time(run.elapsed);
        document.add_test_suite(suite);
        // Into memory first: its error type would hide what `out` says, such as a closed pipe.
        let text = document.to_string().map_err(io::Error::other)?;
        out.write_all(text.as_bytes())
    }
}
