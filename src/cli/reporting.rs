//! From findings to a report: the flags that every scanning command has, the report while it is
//! written, and the exit status.

use std::fs::File;
use std::io::{self, BufWriter, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use anyhow::Context as _;
use clap::builder::PossibleValue;
use tempfile::NamedTempFile;

use super::error::Hint;
use super::settings::Loaded;
use super::verifying::Verified;
use super::{Context, Exit, progress};
use crate::account::Suppressions;
use crate::coverage::Progress;
use crate::finding::Finding;
use crate::report::{self, FORMATS, Format, Mode, Options, Report, Run};
use crate::scan::{Observer, Outcome};
use crate::secret::Masked;
use crate::verdict::Checks;

/// To be flattened into every command that reports findings.
#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "Report")]
pub(super) struct ReportFlags {
    /// What the report looks like.
    #[arg(long, value_name = "FORMAT", default_value = "text", value_parser = formats())]
    format: String,
    /// Write the report to FILE instead of standard output.
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Put whole keys into the field `secret` of a JSON report. Refused where CI is set.
    #[arg(long)]
    reveal: bool,
    /// Exit with 0 although keys were found or something could not be read.
    #[arg(long)]
    exit_zero: bool,
}

fn formats() -> impl clap::builder::TypedValueParser<Value = String> {
    use clap::builder::TypedValueParser;
    let values = FORMATS
        .iter()
        .map(|f| PossibleValue::new(f.name).help(f.help));
    clap::builder::PossibleValuesParser::new(values).map(|name| name)
}

/// A report being written.
pub(super) struct Reporting<'a> {
    flags: ReportFlags,
    context: &'a Context,
    started: (jiff::Timestamp, Instant),
    stop: &'a AtomicBool,
    out: Mutex<Out>,
    streams: bool,
    /// What is known of the keys, if anybody asked.
    verified: Option<Verified>,
}

struct Out {
    report: Box<dyn Report>,
    target: Target,
    /// The first write that failed: nothing is written after it.
    broken: Option<io::Error>,
}

/// Where a report goes.
enum Target {
    Standard(BufWriter<io::Stdout>),
    /// A new file that takes the old one's place when it is whole.
    Whole(BufWriter<NamedTempFile>, PathBuf),
    /// A file that grows as findings come, or one that can't be replaced (a device, a pipe).
    Growing(BufWriter<File>),
}

impl Target {
    fn open(path: Option<&Path>, streams: bool) -> io::Result<Self> {
        let Some(path) = path else {
            return Ok(Self::Standard(BufWriter::new(io::stdout())));
        };
        let special = path.metadata().is_ok_and(|about| !about.is_file());
        if streams || special {
            return Ok(Self::Growing(BufWriter::new(File::create(path)?)));
        }
        let directory = path.parent().filter(|p| !p.as_os_str().is_empty());
        let file = NamedTempFile::new_in(directory.unwrap_or(Path::new(".")))?;
        Ok(Self::Whole(BufWriter::new(file), path.to_owned()))
    }

    fn writer(&mut self) -> &mut dyn Write {
        match self {
            Self::Standard(out) => out,
            Self::Whole(out, _) => out,
            Self::Growing(out) => out,
        }
    }

    fn close(mut self) -> io::Result<()> {
        self.writer().flush()?;
        let Self::Whole(out, path) = self else {
            return Ok(());
        };
        let file = out.into_inner().map_err(io::IntoInnerError::into_error)?;
        #[cfg(unix)]
        {
            // As any new file; a temporary one is its owner's alone.
            use std::os::unix::fs::PermissionsExt;
            let mode = path
                .metadata()
                .map_or(0o644, |about| about.permissions().mode());
            file.as_file()
                .set_permissions(std::fs::Permissions::from_mode(mode))?;
        }
        file.persist(path).map(drop).map_err(|error| error.error)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Observer for Reporting<'_> {
    fn finding(&self, finding: &Finding) {
        if !self.streams {
            return;
        }
        let mut out = lock(&self.out);
        if out.broken.is_some() {
            return;
        }
        let Out {
            report,
            target,
            broken,
        } = &mut *out;
        let writer = target.writer();
        if let Err(error) = report
            .finding(finding, writer)
            .and_then(|()| writer.flush())
        {
            // Nobody reads on, or the disk is full: no reason to search on.
            *broken = Some(error);
            self.stop.store(true, Ordering::Relaxed);
        }
    }
}

impl ReportFlags {
    /// Opens the report. `live` says that text is wanted as findings come, since the input may
    /// never end.
    ///
    /// # Errors
    /// The file can't be written, or `--reveal` is refused.
    pub(super) fn open<'a>(
        &self,
        context: &'a Context,
        stop: &'a AtomicBool,
        live: bool,
    ) -> anyhow::Result<Reporting<'a>> {
        let format: &Format = report::format(&self.format).expect("clap checked the name");
        if self.reveal {
            if !format.reveals {
                return Err(anyhow::anyhow!("--reveal goes with a JSON format only"))
                    .hint("add `--format json` or `--format jsonl`");
            }
            if std::env::var_os("CI").is_some_and(|ci| !ci.is_empty() && ci != "false") {
                return Err(anyhow::anyhow!("--reveal is refused where CI is set"))
                    .hint("a key in a CI log is a second leak; run it on your own machine");
            }
            writeln!(
                context.stderr(),
                "skewer: this report holds whole keys, in the field `secret`"
            )?;
        }
        let color = self.output.is_none() && context.color;
        let mode = if live { Mode::Live } else { Mode::Full };
        let report = (format.make)(&Options {
            color,
            reveal: self.reveal,
            mode,
        });
        let streams = report.streams();
        let target = Target::open(self.output.as_deref(), streams)
            .with_context(|| {
                let path = self
                    .output
                    .as_deref()
                    .unwrap_or(Path::new("standard output"));
                format!("can't write the report to {}", path.display())
            })
            .hint("name a file in a directory that exists and that you may write to")?;
        Ok(Reporting {
            flags: self.clone(),
            context,
            started: (jiff::Timestamp::now(), Instant::now()),
            stop,
            out: Mutex::new(Out {
                report,
                target,
                broken: None,
            }),
            streams,
            verified: None,
        })
    }
}

impl Reporting<'_> {
    /// Takes over what was found out about the keys.
    pub(super) fn verified(&mut self, verified: Verified) {
        self.verified = Some(verified);
    }

    /// Runs `work` with its progress on the terminal, if somebody looks at one.
    pub(super) fn with_progress<T>(&self, progress: &Progress, work: impl FnOnce() -> T) -> T {
        let shown = !self.context.quiet && !self.streams && io::stderr().is_terminal();
        match shown {
            true => progress::shown(progress, work),
            false => work(),
        }
    }

    /// Writes the rest of the report and says how the program ends.
    ///
    /// # Errors
    /// The report could not be written whole; a reader that went away is an exit status.
    pub(super) fn finish(
        self,
        outcome: &Outcome,
        suppressions: &Suppressions,
        target: &Masked,
        loaded: &Loaded,
    ) -> anyhow::Result<Exit> {
        let Outcome { findings, coverage } = outcome;
        let Out {
            mut report,
            target: mut sink,
            mut broken,
        } = self
            .out
            .into_inner()
            .unwrap_or_else(PoisonError::into_inner);
        let checks = self.verified.as_ref().map(|verified| &verified.checks);
        let fails = |finding: &Finding| {
            let verified = self.verified.as_ref();
            let spared = verified.is_some_and(|verified| {
                let verdict = verified.checks.verdict(&finding.fingerprint);
                !verified.fail_on.fails(verdict)
            });
            finding.counts() && !spared
        };
        let counts = findings.iter().any(Finding::counts);
        let complete = coverage.is_complete() && checks.is_none_or(Checks::is_complete);
        let exit = match (
            findings.iter().any(fails),
            coverage.interrupted && broken.is_none(),
            complete,
        ) {
            (true, ..) => Exit::Found,
            (false, true, _) => Exit::Interrupted,
            (false, false, true) => Exit::Nothing,
            (false, false, false) => loaded.incomplete(),
        };
        let exit = match exit {
            Exit::Found | Exit::Incomplete if self.flags.exit_zero => Exit::Nothing,
            exit => exit,
        };
        // Asked to be quiet, and nothing to say.
        let silent = self.context.quiet
            && self.flags.format == "text"
            && !counts
            && coverage.is_complete()
            && suppressions.expired.is_empty();
        if broken.is_none() && !silent {
            let run = Run {
                findings,
                coverage,
                suppressions,
                checks,
                target,
                commit: None,
                version: env!("CARGO_PKG_VERSION"),
                started: self.started.0,
                elapsed: self.started.1.elapsed(),
                exit_code: exit.code(),
            };
            broken = report
                .finish(&run, sink.writer())
                .and_then(|()| sink.close())
                .err();
        }
        match broken {
            None => Ok(exit),
            Some(error) => match Exit::from_io(&error) {
                Some(_) if exit == Exit::Found => Ok(exit),
                Some(pipe) => Ok(pipe),
                None => Err(error)
                    .context("can't write the report")
                    .hint("what was written is not whole: free some space, or write elsewhere"),
            },
        }
    }
}
