//! `skewer verify`: what is known of the keys of a report, or of one on standard input. A report holds
//! no keys, so each is read again where it was found.

use std::io::{self, Read};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};

use super::error::Hint;
use super::reporting::ReportFlags;
use super::reread::{self, Recorded};
use super::settings::SettingFlags;
use super::verifying::AskFlags;
use super::{Context, Exit};
use crate::account::Suppressions;
use crate::matcher::Matcher;
use crate::scan::{Outcome, Scan as Run};

/// A key and what surrounds it.
const LARGEST_INPUT: u64 = 1 << 20;

/// Find out whose keys these are, whether they live, and what they did.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  skewer scan --format json -o keys.json . ; skewer verify --probe keys.json
  pbpaste | skewer verify --probe -          a key on standard input, never an argument
  skewer verify --confirm key_abc keys.json  say yourself that this record is the key's")]
pub(super) struct Verify {
    /// A report (JSON, JSON lines or SARIF); `-` reads a key from standard input.
    #[arg(value_name = "REPORT")]
    report_file: PathBuf,
    /// The directory that the report's paths are relative to.
    #[arg(long, value_name = "DIR", default_value = ".")]
    root: PathBuf,
    /// The id of the record that is the key's, as you know from elsewhere.
    #[arg(long, value_name = "ID")]
    confirm: Option<String>,
    #[command(flatten)]
    asking: AskFlags,
    #[command(flatten)]
    report: ReportFlags,
    #[command(flatten)]
    settings: SettingFlags,
}

impl Verify {
    pub(super) fn run(self, context: &Context) -> anyhow::Result<Exit> {
        let loaded = self.settings.load()?;
        let mut verifying = self.asking.prepare(&loaded)?;
        verifying.typed.clone_from(&self.confirm);
        let matcher = Matcher::new(&loaded.rules()?, None);
        let settings = loaded.for_scan(&matcher)?;
        let stop = context.interruptible();
        let recorded = match self.report_file == Path::new("-") {
            true => None,
            false => Some(recorded(&self.report_file)?),
        };
        let mut reporting = self.report.open(context, &stop, false)?;
        let run = Run::new(&matcher, &settings, &reporting, &stop);
        let outcome = match recorded {
            None => typed_in(run)?,
            Some(recorded) => {
                verifying.since = recorded.iter().filter_map(Recorded::dated).collect();
                reread::all(&recorded, &self.root, &matcher, run)
            }
        };
        reporting.verified(verifying.run(&outcome.findings, context, &stop)?);
        let target = matcher.redact(self.report_file.as_os_str().as_encoded_bytes());
        reporting.finish(&outcome, &Suppressions::default(), &target, &loaded)
    }
}

fn recorded(path: &Path) -> anyhow::Result<Vec<Recorded>> {
    reread::parse(&reread::read(path)?)
        .map_err(anyhow::Error::msg)
        .with_context(|| format!("can't read the report {}", path.display()))
        .hint("make one with `skewer scan --format json`; jsonl and sarif are understood, too")
}

/// The key on standard input.
fn typed_in(run: Run<'_>) -> anyhow::Result<Outcome> {
    run.stream("(standard input)", io::stdin().lock().take(LARGEST_INPUT));
    let outcome = run.into_outcome();
    match outcome.findings.is_empty() {
        true => bail!("there is no key on standard input"),
        false => Ok(outcome),
    }
}
