//! `skewer scan`: files, directories and streams.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

use anyhow::Context as _;

use super::error::Hint;
use super::input::standard_input;
use super::reporting::ReportFlags;
use super::settings::SettingFlags;
use super::{Context, Exit};
use crate::matcher::Matcher;
use crate::repo::path_from_bytes;
use crate::scan::Scan as Run;
use crate::secret::Masked;

/// Search files, directories or a stream for keys.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  skewer scan .                          this directory and all below it
  skewer scan --no-ignore dist app.log   what git ignores, too
  kubectl logs -f deploy/api | skewer scan -
  git ls-files -z | skewer scan --files-from -
  skewer scan --format sarif --output skewer.sarif .")]
pub(super) struct Scan {
    /// Files and directories; `-` is standard input.
    #[arg(value_name = "PATH", required_unless_present = "files_from")]
    paths: Vec<PathBuf>,
    /// Scan the files named in FILE (`-`: standard input), each name ended by a NUL.
    #[arg(long, value_name = "FILE")]
    files_from: Option<PathBuf>,
    #[command(flatten)]
    report: ReportFlags,
    #[command(flatten)]
    settings: SettingFlags,
}

/// How many names of a list are handled at once: a list may be longer than memory.
const NAMES: usize = 4096;

impl Scan {
    pub(super) fn run(self, context: &Context) -> anyhow::Result<Exit> {
        let loaded = self.settings.load()?;
        let matcher = Matcher::new(&loaded.rules()?, None);
        let settings = loaded.for_scan(&matcher)?;
        let stop = context.interruptible();
        let is_stream = |path: &PathBuf| path == Path::new("-");
        let live = self.paths.iter().any(is_stream);
        all_there(self.paths.iter().filter(|path| !is_stream(path)))?;
        let reporting = self.report.open(context, &stop, live)?;
        let run = Run::new(&matcher, &settings, &reporting, &stop);
        reporting.with_progress(&run.progress, || {
            run.paths(self.paths.iter().filter(|path| !is_stream(path)));
            if live {
                run.stream("(standard input)", standard_input(&stop));
            }
            match &self.files_from {
                Some(list) => files_from(&run, list, &stop),
                None => Ok(()),
            }
        })?;
        let outcome = run.into_outcome();
        let whole = outcome.coverage.is_complete() && loaded.is_whole(&self.paths);
        let ends = settings.suppress.loose_ends(whole);
        reporting.finish(&outcome, &ends, &self.target(&matcher), &loaded)
    }

    /// What was scanned, in the user's words.
    fn target(&self, matcher: &Matcher) -> Masked {
        let named = self
            .paths
            .iter()
            .map(|path| path.as_os_str().as_encoded_bytes());
        let listed = self
            .files_from
            .iter()
            .map(|path| path.as_os_str().as_encoded_bytes());
        matcher.redact(&named.chain(listed).collect::<Vec<_>>().join(&b' '))
    }
}

/// What is named and isn't there is a mistake: better to hear of it before a long scan.
pub(super) fn all_there<'p>(paths: impl Iterator<Item = &'p PathBuf>) -> anyhow::Result<()> {
    for path in paths {
        path.metadata()
            .with_context(|| format!("can't read {}", path.display()))
            .hint("name files and directories that exist; `-` is standard input")?;
    }
    Ok(())
}

/// Scans the files of a list. One that is gone meanwhile is a failure, and the rest is read.
fn files_from(run: &Run<'_>, list: &Path, stop: &AtomicBool) -> anyhow::Result<()> {
    let mut list: Box<dyn BufRead + '_> = match list == Path::new("-") {
        true => Box::new(BufReader::new(standard_input(stop))),
        false => Box::new(BufReader::new(
            File::open(list)
                .with_context(|| format!("can't read the list {}", list.display()))
                .hint("--files-from takes a file of names, each ended by a NUL, or `-`")?,
        )),
    };
    loop {
        let mut names = Vec::new();
        while names.len() < NAMES {
            let mut name = Vec::new();
            if list
                .read_until(0, &mut name)
                .context("can't read the list of files")?
                == 0
            {
                break;
            }
            if name.last() == Some(&0) {
                name.pop();
            }
            if !name.is_empty() {
                names.push(path_from_bytes(&name));
            }
        }
        if names.is_empty() {
            return Ok(());
        }
        run.paths(names.iter());
    }
}
