//! `skewer scan`: files, directories and streams.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use super::error::Hint;
use super::{Context, Exit};
use crate::finding::Finding;
use crate::matcher::Matcher;
use crate::rules::Rules;
use crate::scan::{Observer, Outcome, Scan as Run, Settings};

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
    /// Read what git ignores, too.
    #[arg(long)]
    no_ignore: bool,
    /// Scan the files named in FILE (`-`: standard input), each name ended by a NUL.
    #[arg(long, value_name = "FILE")]
    files_from: Option<PathBuf>,
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
        let matcher = Matcher::new(&Rules::built_in(), None);
        let settings = Settings {
            no_ignore: self.no_ignore,
            ..Settings::default()
        };
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
        }
        Ok(
            match (findings.iter().any(Finding::counts), coverage.is_complete()) {
                (true, _) => Exit::Found,
                (false, true) => Exit::Nothing,
                (false, false) => Exit::Incomplete,
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
