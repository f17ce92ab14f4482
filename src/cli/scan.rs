//! `skewer scan`: files, directories and streams.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use super::error::Hint;
use super::settings::SettingFlags;
use super::{Context, Exit};
use crate::account::Entry;
use crate::finding::Finding;
use crate::matcher::Matcher;
use crate::scan::{Observer, Outcome, Scan as Run};

/// Search files, directories or a stream for keys.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  skewer scan .                      this directory and all below it
  skewer scan --no-ignore dist app.log
  kubectl logs deploy/api | skewer scan -
  git ls-files -z | skewer scan --files-from -")]
pub(super) struct Scan {
    /// Files and directories; `-` is standard input.
    #[arg(value_name = "PATH", required_unless_present = "files_from")]
    paths: Vec<PathBuf>,
    /// Scan the files named in FILE (`-`: standard input), each name ended by a NUL.
    #[arg(long, value_name = "FILE")]
    files_from: Option<PathBuf>,
    #[command(flatten)]
    settings: SettingFlags,
}

struct Printer(Mutex<io::Stdout>);

impl Observer for Printer {
    fn finding(&self, finding: &Finding) {
        let mut out = self.0.lock().expect("no print panics");
        let _ = writeln!(
            out,
            "{}  {}  {}",
            finding.location, finding.secret, finding.rule.id
        );
    }
}

impl Scan {
    pub(super) fn run(self, context: &Context) -> anyhow::Result<Exit> {
        let loaded = self.settings.load()?;
        let matcher = Matcher::new(&loaded.rules()?, None);
        let settings = loaded.for_scan(&matcher)?;
        let stop = context.interruptible();
        let printer = Printer(Mutex::new(io::stdout()));
        let run = Run::new(&matcher, &settings, &printer, &stop);
        for path in &self.paths {
            if path == Path::new("-") {
                run.stream("(standard input)", standard_input());
            } else {
                run.path(path)
                    .hint("name files and directories that exist; `-` is standard input")?;
            }
        }
        let Outcome { findings, coverage } = run.into_outcome();
        if !context.quiet {
            let mut err = context.stderr();
            writeln!(
                err,
                "{} findings, {} files, {} bytes, {} failed",
                findings.len(),
                coverage.read.items,
                coverage.read.bytes,
                coverage.failed
            )?;
            let whole = coverage.is_complete() && loaded.is_whole(&self.paths);
            let ends = settings.suppress.loose_ends(whole);
            let entries = |entries: &[Entry], what: &str, err: &mut dyn Write| {
                entries.iter().try_for_each(|entry| {
                    writeln!(err, "{what} suppression: {} ({})", entry.what, entry.reason)
                })
            };
            entries(&ends.expired, "expired", &mut err)?;
            entries(&ends.unused, "unused", &mut err)?;
        }
        Ok(
            match (findings.iter().any(Finding::counts), coverage.is_complete()) {
                (true, _) => Exit::Found,
                (false, true) => Exit::Nothing,
                (false, false) => loaded.incomplete(),
            },
        )
    }
}

/// Standard input, through as large a pipe as the system grants: at 64 KiB, two programs spend
/// their time waking each other.
fn standard_input() -> io::StdinLock<'static> {
    #[cfg(target_os = "linux")]
    let _ = rustix::pipe::fcntl_setpipe_size(io::stdin(), 1 << 20);
    io::stdin().lock()
}
