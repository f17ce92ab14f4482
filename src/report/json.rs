//! One JSON document, described by `schema/report-1.json`.

use std::io::{self, Write};

use serde::Serialize;

use super::view::{FindingView, Summary, Totals};
use super::{Options, Report, Run, ordered, wire};

/// The name and version of the form: a change that breaks a reader raises the number.
const SCHEMA: &str = "skewer.report/1";

pub(super) struct Json {
    reveal: bool,
}

impl Json {
    pub(super) fn new(options: &Options) -> Self {
        Self {
            reveal: options.reveal,
        }
    }
}

#[derive(Serialize)]
struct Document<'a> {
    schema: &'static str,
    #[serde(flatten)]
    summary: Summary<'a>,
    findings: Vec<FindingView<'a>>,
}

impl Report for Json {
    fn finish(&mut self, run: &Run<'_>, out: &mut dyn Write) -> io::Result<()> {
        let findings = ordered(run.findings);
        wire::write_json(
            out,
            &Document {
                schema: SCHEMA,
                summary: Summary::new(run, &Totals::of(run.findings)),
                findings: findings
                    .into_iter()
                    .map(|finding| FindingView::new(finding, self.reveal))
                    .collect(),
            },
        )
    }
}
