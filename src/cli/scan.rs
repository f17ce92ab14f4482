//! `skewer scan`: files, directories and streams.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::Context as _;

use super::error::Hint;
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
  skewer scan --image registry.example.com/app:1.2
  skewer scan --format sarif --output skewer.sarif .")]
pub(super) struct Scan {
    /// Files and directories; `-` is standard input.
    #[arg(value_name = "PATH", required_unless_present_any = ["files_from", "image"])]
    paths: Vec<PathBuf>,
    /// Scan the files named in FILE (`-`: standard input), each name ended by a NUL.
    #[arg(long, value_name = "FILE")]
    files_from: Option<PathBuf>,
    /// Scan an image of the local docker or podman. May be given again.
    #[arg(long, value_name = "NAME")]
    image: Vec<String>,
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
            for name in &self.image {
                let shown = format!("image {}", matcher.redact(name.as_bytes()));
                run.stream(&shown, image(name, &stop)?);
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
        let images = self.image.iter().map(|name| name.as_bytes());
        let listed = self
            .files_from
            .iter()
            .map(|path| path.as_os_str().as_encoded_bytes());
        matcher.redact(
            &named
                .chain(images)
                .chain(listed)
                .collect::<Vec<_>>()
                .join(&b' '),
        )
    }
}

#[cfg(unix)]
fn image<'a>(name: &str, stop: &'a AtomicBool) -> anyhow::Result<impl Read + 'a> {
    super::image::open(name, &|variable| std::env::var(variable).ok(), stop)
}

#[cfg(not(unix))]
fn image(name: &str, _stop: &AtomicBool) -> anyhow::Result<io::Empty> {
    Err(anyhow::anyhow!(
        "can't read the image {name} from a daemon on this system"
    ))
    .hint("save it, and scan the file: `docker save -o image.tar NAME`, `skewer scan image.tar`")
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
