//! JSON lines, described by `schema/line-1.json`: a finding as soon as it is found, then one
//! summary. An output without its summary is not whole.

use std::io::{self, Write};

use serde::Serialize;

use super::view::{FindingView, Summary, Totals};
use super::{Options, Report, Run, wire};
use crate::finding::Finding;

/// The name and version of the form: a change that breaks a reader raises the number.
const SCHEMA: &str = "skewer.line/1";

pub(super) struct JsonLines {
    reveal: bool,
    totals: Totals,
}

impl JsonLines {
    pub(super) fn new(options: &Options) -> Self {
        Self {
            reveal: options.reveal,
            totals: Totals::default(),
        }
    }
}

#[derive(Serialize)]
struct Line<T> {
    schema: &'static str,
    #[serde(rename = "type")]
    kind: &'static str,
    #[serde(flatten)]
    content: T,
}

impl Report for JsonLines {
    fn streams(&self) -> bool {
        true
    }

    fn finding(&mut self, finding: &Finding, out: &mut dyn Write) -> io::Result<()> {
        self.totals.add(finding);
        wire::write_json_line(
            out,
            &Line {
                schema: SCHEMA,
                kind: "finding",
                content: FindingView::new(finding, self.reveal),
            },
        )
    }

    fn finish(&mut self, run: &Run<'_>, out: &mut dyn Write) -> io::Result<()> {
        wire::write_json_line(
            out,
            &Line {
                schema: SCHEMA,
                kind: "summary",
                content: Summary::new(run, &self.totals),
            },
        )
    }
}
