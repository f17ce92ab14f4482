//! `skewer scan`: files, directories and streams.

use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use anyhow::Context as _;

use super::error::Hint;
use super::history::{self, How, Wanted};
use super::input::standard_input;
use super::places;
use super::remembering::CacheFlags;
use super::run::{Ready, RunFlags};
use super::verifying::VerifyFlags;
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
  skewer scan --verify --probe .         whose the keys are, and whether they live
  skewer scan --verify --rotate .        rotates what lives, is confirmed and may be rotated
  skewer scan --follow app.log worker.log  findings as lines are written, until Ctrl-C
  skewer scan --places                   where keys settle on this machine
  skewer scan --places agents shell-history
  skewer scan --image registry.example.com/app:1.2
  skewer scan --format sarif --output skewer.sarif .")]
pub(super) struct Scan {
    /// Files and directories; `-` is standard input.
    #[arg(value_name = "PATH", required_unless_present_any = ["files_from", "places", "image"])]
    paths: Vec<PathBuf>,
    /// Scan the files named in FILE (`-`: standard input), each name ended by a NUL.
    #[arg(long, value_name = "FILE")]
    files_from: Option<PathBuf>,
    /// Go on reading what is added to the files, until Ctrl-C. They may be truncated or replaced.
    #[arg(long, conflicts_with = "files_from")]
    follow: bool,
    /// Scan where keys settle on this machine: all places that `skewer places` lists, or those of
    /// these names or groups. What git ignores there is read, too.
    #[arg(long, value_name = "NAME", num_args = 0.., value_delimiter = ',', conflicts_with_all = ["paths", "files_from", "follow"])]
    places: Option<Vec<String>>,
    #[command(flatten)]
    verify: VerifyFlags,
    /// Scan an image of the local docker or podman. May be given again.
    #[arg(long, value_name = "NAME")]
    image: Vec<String>,
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

/// How often a file that is followed is looked at.
const LOOKS_AGAIN: Duration = Duration::from_millis(200);

impl Scan {
    pub(super) fn run(self, context: &Context) -> anyhow::Result<Exit> {
        let mut ready = self.run.ready(context)?;
        let verifying = self.verify.prepare(&ready.loaded)?;
        let places = self.places.as_deref().map(places::named).transpose()?;
        ready.settings.no_ignore |= places.is_some();
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
        self.can_follow()?;
        let wanted = self.histories(&ready)?;
        let mut reporting = ready.report(context, live || self.follow)?;
        let git_dirs = wanted.iter().map(|(repository, _)| repository.common_dir());
        let run = Run::new(matcher, settings, &reporting, stop)
            .without(git_dirs.map(Path::to_owned).collect());
        reporting.with_progress(&run.progress, || {
            match self.follow {
                true => run.follow(&self.paths, &|| std::thread::sleep(LOOKS_AGAIN)),
                false => run.paths(self.paths.iter().filter(|path| !is_stream(path))),
            }
            if let Some(places) = &places {
                places::with_bases(|bases| run.places(places, bases))?;
            }
            if live {
                run.stream("(standard input)", standard_input(stop));
            }
            for name in &self.image {
                let shown = format!("image {}", matcher.redact(name.as_bytes()));
                run.stream(&shown, image(name, stop)?);
            }
            match &self.files_from {
                Some(list) => files_from(&run, list, stop),
                None => Ok(()),
            }
        })?;
        let mut outcome = run.into_outcome();
        let memory = match self.history {
            true => {
                let limits = &loaded.unpacking().limits;
                self.cache.memory(context, &ready.rules, limits)
            }
            false => None,
        };
        let how = How {
            memory: memory.as_ref(),
            ..How::default()
        };
        history::search(&ready, &reporting, how, &wanted, &mut outcome);
        let whole = outcome.coverage.is_complete() && loaded.is_whole(&self.paths);
        let ends = settings.suppress.loose_ends(whole);
        let rotate = &self.verify.rotate;
        let mut suspects = Vec::new();
        if let Some(verifying) = verifying {
            let verified = verifying.run(&outcome.findings, context, stop)?;
            suspects = rotate.suspects(&verified.checks, &outcome.findings, loaded)?;
            reporting.verified(verified);
        }
        let exit = reporting.finish(&outcome, &ends, &self.target(matcher), loaded)?;
        rotate.run(suspects, loaded, context, stop, exit)
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

    fn can_follow(&self) -> anyhow::Result<()> {
        let is_file = |path: &&PathBuf| path.is_file();
        match self.paths.iter().find(|path| !is_file(path)) {
            Some(other) if self.follow => Err(anyhow::anyhow!("can't follow {}", other.display()))
                .hint("--follow takes files; what comes on standard input is followed anyway"),
            _ => Ok(()),
        }
    }

    /// What was scanned, in the user's words.
    fn target(&self, matcher: &Matcher) -> Masked {
        if let Some(names) = &self.places {
            let names = ["places", &names.join(" ")].join(" ");
            return matcher.redact(names.trim_end().as_bytes());
        }
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
