//! `skewer scan`: files, directories and streams.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::Context as _;

use super::error::Hint;
use super::history::{self, How, Wanted};
use super::remembering::CacheFlags;
use super::run::{Ready, RunFlags};
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
  skewer scan --history .                files and all that git keeps, in one report
  skewer scan --format sarif --output skewer.sarif .")]
pub(super) struct Scan {
    /// Files and directories; `-` is standard input.
    #[arg(value_name = "PATH", required_unless_present = "files_from")]
    paths: Vec<PathBuf>,
    /// Scan the files named in FILE (`-`: standard input), each name ended by a NUL.
    #[arg(long, value_name = "FILE")]
    files_from: Option<PathBuf>,
    /// Search the history of the repositories, too, that the paths lie in: everything that git
    /// keeps, as `skewer history` does.
    #[arg(long, requires = "paths")]
    history: bool,
    #[command(flatten)]
    cache: CacheFlags,
    #[command(flatten)]
    run: RunFlags,
}

/// How many names of a list are handled at once: a list may be longer than memory.
const NAMES: usize = 4096;

impl Scan {
    pub(super) fn run(self, context: &Context) -> anyhow::Result<Exit> {
        let ready = self.run.ready(context)?;
        let Ready {
            loaded,
            matcher,
            settings,
            stop,
            ..
        } = &ready;
        let is_stream = |path: &PathBuf| path == Path::new("-");
        let live = self.paths.iter().any(is_stream);
        all_there(self.paths.iter().filter(|path| !is_stream(path)))?;
        let wanted = self.histories(&ready)?;
        let reporting = ready.report(context, live)?;
        let git_dirs = wanted.iter().map(|(repository, _)| repository.common_dir());
        let run = Run::new(matcher, settings, &reporting, stop)
            .without(git_dirs.map(Path::to_owned).collect());
        reporting.with_progress(&run.progress, || {
            run.paths(self.paths.iter().filter(|path| !is_stream(path)));
            if live {
                run.stream("(standard input)", standard_input(stop));
            }
            match &self.files_from {
                Some(list) => files_from(&run, list, stop),
                None => Ok(()),
            }
        })?;
        let mut outcome = run.into_outcome();
        let memory = match self.history {
            true => self.cache.memory(context, &ready.rules),
            false => None,
        };
        let how = How {
            memory: memory.as_ref(),
            ..How::default()
        };
        history::search(&ready, &reporting, how, &wanted, &mut outcome);
        let whole = outcome.coverage.is_complete() && loaded.is_whole(&self.paths);
        let ends = settings.suppress.loose_ends(whole);
        reporting.finish(&outcome, &ends, &self.target(matcher), loaded)
    }

    /// The repositories that the paths lie in, if their history is wanted.
    fn histories(&self, ready: &Ready) -> anyhow::Result<Vec<Wanted>> {
        let mut wanted: Vec<Wanted> = Vec::new();
        let named = self.paths.iter().filter(|path| *path != Path::new("-"));
        for path in named.filter(|_| self.history) {
            let directory = match path.is_dir() {
                true => path,
                false => path
                    .parent()
                    .filter(|p| !p.as_os_str().is_empty())
                    .unwrap_or(Path::new(".")),
            };
            let found = history::open(ready, directory)?;
            let same = |(known, _): &Wanted| known.common_dir() == found.common_dir();
            if !wanted.iter().any(same) {
                wanted.push((found, None));
            }
        }
        Ok(wanted)
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

/// Standard input, through as large a pipe as the system grants: at 64 KiB, two programs spend
/// their time waking each other. It ends when the run is to stop, even if nothing comes.
fn standard_input(stop: &AtomicBool) -> impl Read + '_ {
    #[cfg(target_os = "linux")]
    let _ = rustix::pipe::fcntl_setpipe_size(io::stdin(), 1 << 20);
    Waiting {
        stop,
        input: io::stdin().lock(),
    }
}

struct Waiting<'a> {
    stop: &'a AtomicBool,
    input: io::StdinLock<'static>,
}

impl Read for Waiting<'_> {
    fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
        #[cfg(unix)]
        loop {
            use rustix::event::{PollFd, PollFlags, Timespec, poll};
            if self.stop.load(Ordering::Relaxed) {
                return Ok(0);
            }
            let mut fds = [PollFd::new(&self.input, PollFlags::IN)];
            let often = Timespec {
                tv_sec: 0,
                tv_nsec: 100_000_000,
            };
            match poll(&mut fds, Some(&often)) {
                Ok(0) | Err(rustix::io::Errno::INTR) => {}
                // What is wrong with it, reading will tell.
                _ => break,
            }
        }
        let _ = self.stop;
        self.input.read(to)
    }
}
