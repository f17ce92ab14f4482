//! `skewer redact`: a filter that masks every key on the way from its input to its output.

use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::Context as _;

use super::input::{Input, standard_input};
use super::scan::all_there;
use super::settings::SettingFlags;
use super::{Context, Exit};
use crate::examine::{Redactor, Release};
use crate::matcher::{Matcher, Named};
use crate::report::count;
use crate::rules::Rules;

/// Copy standard input to standard output with every key masked.
///
/// Each byte of a key becomes `*`, encoded keys in their encoded form; line breaks stay, and so does
/// every other byte. What is not certain to be a key is masked as well. Lines come out as they end.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  kubectl logs -f deploy/api | skewer redact | tee api.log
  skewer redact --headers --env crash.txt > crash-to-share.txt
  tail -F app.log | skewer redact --headers | logger -t api

Exit status: 0 copied, whether or not keys were masked; 2 could not; 3 copied, but a file is
compressed, and keys in it were not seen; 130 interrupted; 141 the reader went away.")]
pub(super) struct Redact {
    /// Files to copy one after another; `-`, or none, is standard input.
    #[arg(value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Mask the values of headers that carry credentials, too: Authorization, API keys, cookies.
    #[arg(long)]
    headers: bool,
    /// Mask the values of variables that look secret, too: *_KEY, *_TOKEN, *_SECRET, *PASSWORD.
    #[arg(long)]
    env: bool,
    /// Look for the keys of these rules, too (a file of rules, may be repeated).
    #[arg(long, value_name = "FILE")]
    rules: Vec<PathBuf>,
}

/// How long a line that has ended may wait for the next: a key may go on there.
const LINE_WAITS: Duration = Duration::from_millis(40);

/// How long the beginning of a line may wait for its end.
const REST_WAITS: Duration = Duration::from_millis(500);

/// What came in up to some time ago, and may wait no longer.
struct Waiting {
    until: u64,
    since: Instant,
    most: Duration,
    what: Release,
}

impl Waiting {
    fn new(most: Duration, what: Release) -> Self {
        Self {
            until: 0,
            since: Instant::now(),
            most,
            what,
        }
    }

    /// How long it may still wait.
    fn left(&self) -> Duration {
        self.most.saturating_sub(self.since.elapsed())
    }

    fn release(&mut self, redactor: &mut Redactor<'_>, out: &mut impl Write) -> io::Result<()> {
        // Where nobody can wait for input with a time limit, lines wait for nothing.
        if cfg!(not(unix)) && self.what == Release::Lines {
            self.until = redactor.received();
        } else if !self.left().is_zero() {
            return Ok(());
        }
        redactor.release(self.until, self.what, out)?;
        self.until = redactor.received();
        self.since = Instant::now();
        Ok(())
    }
}

impl Redact {
    pub(super) fn run(self, context: &Context) -> anyhow::Result<Exit> {
        let matcher = Matcher::new(&self.rules()?, None);
        let named = Named {
            headers: self.headers,
            variables: self.env,
        };
        let is_stream = |path: &&PathBuf| *path == Path::new("-");
        all_there(self.files.iter().filter(|path| !is_stream(path)))?;
        let stop = context.interruptible();
        let mut out = output()?;
        let (mut masked, mut packed) = (0, 0);
        let mut one = |redactor: Redactor<'_>| {
            masked += redactor.masked();
            packed += u64::from(redactor.is_packed());
        };
        if self.files.is_empty() {
            one(live(Redactor::new(&matcher, named), &stop, &mut out)?);
        }
        for path in &self.files {
            let redactor = Redactor::new(&matcher, named);
            one(match is_stream(&path) {
                true => live(redactor, &stop, &mut out)?,
                false => file(redactor, path, &stop, &mut out)?,
            });
        }
        if masked > 0 && !context.quiet {
            let masked = count(masked, "key", "keys");
            writeln!(context.stderr(), "skewer: masked {masked}")?;
        }
        if stop.load(Ordering::Relaxed) {
            return Ok(Exit::Interrupted);
        }
        if packed > 0 {
            writeln!(
                context.stderr(),
                "skewer: {} compressed and copied as it was: unpack it first",
                count(packed, "input is", "inputs are")
            )?;
            return Ok(Exit::Incomplete);
        }
        Ok(Exit::Nothing)
    }

    fn rules(&self) -> anyhow::Result<Rules> {
        SettingFlags::with_rules(&self.rules).load()?.rules()
    }
}

/// Standard output without a buffer of its own: what is written is complete.
fn output() -> anyhow::Result<File> {
    #[cfg(unix)]
    let handle = std::os::fd::AsFd::as_fd(&io::stdout()).try_clone_to_owned();
    #[cfg(windows)]
    let handle = std::os::windows::io::AsHandle::as_handle(&io::stdout()).try_clone_to_owned();
    Ok(File::from(
        handle.context("can't write to standard output")?,
    ))
}

fn live<'m>(
    mut redactor: Redactor<'m>,
    stop: &AtomicBool,
    out: &mut File,
) -> anyhow::Result<Redactor<'m>> {
    let mut input = standard_input(stop);
    let result = follow(&mut redactor, &mut input, out);
    // What came before the input failed is not lost.
    redactor.finish(out).context(WRITING)?;
    result.map(|()| redactor)
}

const WRITING: &str = "can't write to standard output";

fn follow(
    redactor: &mut Redactor<'_>,
    input: &mut Input<'_>,
    out: &mut File,
) -> anyhow::Result<()> {
    let mut lines = Waiting::new(LINE_WAITS, Release::Lines);
    let mut rest = Waiting::new(REST_WAITS, Release::All);
    loop {
        let most = match redactor.holds() {
            true => lines.left().min(rest.left()),
            false => REST_WAITS,
        };
        if input.wait(most) {
            match redactor.fill(input) {
                Ok(0) => return Ok(()),
                Ok(_) => redactor.write(out).context(WRITING)?,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error).context("can't read standard input"),
            }
        }
        for waiting in [&mut lines, &mut rest] {
            waiting.release(redactor, out).context(WRITING)?;
        }
    }
}

fn file<'m>(
    mut redactor: Redactor<'m>,
    path: &Path,
    stop: &AtomicBool,
    out: &mut File,
) -> anyhow::Result<Redactor<'m>> {
    let reading = || format!("can't read {}", path.display());
    let mut file = File::open(path).with_context(reading)?;
    while !stop.load(Ordering::Relaxed) {
        match redactor.fill(&mut file) {
            Ok(0) => break,
            Ok(_) => redactor.write(out).context(WRITING)?,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error).with_context(reading),
        }
    }
    redactor.finish(out).context(WRITING)?;
    Ok(redactor)
}
