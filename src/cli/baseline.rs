//! `skewer baseline`: what is there today, written down as answered for.

use std::io::{self, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

use anyhow::Context as _;
use jiff::civil::Date;
use serde::Deserialize;

use super::error::Hint;
use super::settings::{self, SettingFlags};
use super::{Context, Exit};
use crate::finding::Finding;
use crate::matcher::Matcher;
use crate::rules::Rules;
use crate::scan::{Observer, Scan};
use crate::secret::Fingerprint;
use crate::suppress::{Baseline, Entry, Replaced};

/// Work with the baseline: the findings that somebody answered for.
#[derive(clap::Args)]
pub(super) struct BaselineCommand {
    #[command(subcommand)]
    action: Action,
}

#[derive(clap::Subcommand)]
enum Action {
    /// Write down every key that is found today, so that only new ones count.
    ///
    /// Entries that are there keep their reason and their date.
    Write(WriteDown),
}

#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  skewer baseline write --reason 'before we began' --until 2027-06-30
  skewer scan --format json . | skewer baseline write --from -")]
struct WriteDown {
    /// What to scan.
    #[arg(value_name = "PATH", default_value = ".")]
    paths: Vec<PathBuf>,
    /// Take the findings from a report (JSON or JSON lines) instead; `-` is standard input.
    #[arg(long, value_name = "REPORT", conflicts_with = "paths")]
    from: Option<PathBuf>,
    /// Take out the entries whose key is found no more; needs a scan of the whole project.
    #[arg(long, conflicts_with = "from")]
    prune: bool,
    #[command(flatten)]
    answer: Answer,
    #[command(flatten)]
    settings: SettingFlags,
}

/// Who answers, why, and how long.
#[derive(clap::Args)]
pub(super) struct Answer {
    /// Why these may stay.
    #[arg(long, value_name = "TEXT")]
    reason: String,
    /// The last day on which they may (YYYY-MM-DD, in UTC); after it, they block again.
    #[arg(long, value_name = "DATE")]
    until: Option<Date>,
    /// Who says so [default: your user name].
    #[arg(long, value_name = "NAME")]
    who: Option<String>,
}

impl Answer {
    /// The entry to be written.
    pub(super) fn entry(self) -> anyhow::Result<Entry> {
        let name = |variable| std::env::var(variable).ok().filter(|name| !name.is_empty());
        [Some(&self.reason), self.who.as_ref()]
            .into_iter()
            .flatten()
            .try_for_each(|text| refuse_keys(text))?;
        let date = settings::today();
        if self.until.is_some_and(|until| until < date) {
            anyhow::bail!("--until is in the past; the entry would never count");
        }
        Ok(Entry {
            reason: self.reason,
            who: self
                .who
                .or_else(|| name("USER"))
                .or_else(|| name("USERNAME")),
            date,
            until: self.until,
            line: 0,
        })
    }
}

/// The baseline is committed: no text that goes into it may hold a key.
pub(super) fn refuse_keys(text: &str) -> anyhow::Result<()> {
    let matcher = Matcher::new(&Rules::built_in(), None);
    match matcher.search_all(text.as_bytes()).is_empty() {
        true => Ok(()),
        false => Err(anyhow::anyhow!("there is a key in what is to be written"))
            .hint("the baseline is committed and must hold none; name the key by its fingerprint"),
    }
}

/// Adds to the baseline at `path`, making it if there is none, in one step: whoever reads it
/// meanwhile sees the old one or the new one.
pub(super) fn change<T>(
    path: &Path,
    change: impl FnOnce(&mut Baseline) -> anyhow::Result<T>,
) -> anyhow::Result<T> {
    // A link stays one: what it points to is replaced.
    let path = &std::fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let mut baseline = match settings::read_text(path)? {
        Some(text) => Baseline::parse(&text, &path.display().to_string())?,
        None => Baseline::default(),
    };
    let outcome = change(&mut baseline)?;
    save(path, &baseline).with_context(|| format!("can't write {}", path.display()))?;
    Ok(outcome)
}

fn save(path: &Path, baseline: &Baseline) -> io::Result<()> {
    let directory = path.parent().unwrap_or(Path::new("."));
    let mut builder = tempfile::Builder::new();
    builder.prefix(".skewer-baseline");
    #[cfg(unix)]
    let permissions: std::fs::Permissions = std::os::unix::fs::PermissionsExt::from_mode(0o666); // less what the umask takes
    #[cfg(unix)]
    builder.permissions(permissions);
    let mut file = builder.tempfile_in(directory)?;
    if let Ok(there) = std::fs::metadata(path) {
        file.as_file().set_permissions(there.permissions())?;
    }
    write!(file, "{baseline}")?;
    file.as_file().sync_all()?;
    file.persist(path)?;
    Ok(())
}

impl BaselineCommand {
    pub(super) fn run(self, context: &Context) -> anyhow::Result<Exit> {
        match self.action {
            Action::Write(write) => write.run(context),
        }
    }
}

impl WriteDown {
    fn run(self, context: &Context) -> anyhow::Result<Exit> {
        let loaded = self.settings.load()?;
        let mut complete = true;
        let mut found = match &self.from {
            Some(path) if path == Path::new("-") => from_report(io::stdin().lock())?,
            Some(path) => {
                let file = std::fs::File::open(path);
                from_report(file.with_context(|| format!("can't read {}", path.display()))?)?
            }
            None => {
                let matcher = Matcher::new(&loaded.rules()?, None);
                // What the old baseline hides is found, too: it is there already and stays.
                let mut settings = loaded.for_scan(&matcher)?;
                settings.suppress = Default::default();
                let stop = context.interruptible();
                let (found, whole) = scan(&self.paths, &matcher, &settings, &stop)?;
                complete = whole;
                found
            }
        };
        found.sort_unstable();
        found.dedup();
        if self.prune && !(complete && loaded.is_whole(&self.paths)) {
            return Err(anyhow::anyhow!(
                "can't prune: not all of the project was read"
            ))
            .hint("name the project's directory; `skewer scan` says what can't be read");
        }
        let entry = self.answer.entry()?;
        let path = &loaded.settings.baseline.value;
        let (added, removed) = change(path, |baseline| {
            let (mut added, before) = (0, baseline.keys.len());
            if self.prune {
                baseline
                    .keys
                    .retain(|print, _| found.binary_search(print).is_ok());
            }
            let removed = before - baseline.keys.len();
            for print in &found {
                if !baseline.keys.contains_key(print) {
                    let allowed = baseline.allow(*print, entry.clone());
                    added += usize::from(allowed.map_err(anyhow::Error::msg)? == Replaced::No);
                }
            }
            Ok((added, removed))
        })?;
        if !context.quiet {
            let known = found.len() - added;
            writeln!(
                io::stdout(),
                "{added} added to {}, {known} there already, {removed} removed.",
                path.display()
            )?;
        }
        if !complete {
            writeln!(
                context.stderr(),
                "Not everything could be read, so keys may be missing; `skewer scan` names what."
            )?;
            return Ok(loaded.incomplete());
        }
        Ok(Exit::Nothing)
    }
}

struct Silent;

impl Observer for Silent {
    fn finding(&self, _: &Finding) {}
}

/// The keys that count, and whether all was read.
fn scan(
    paths: &[PathBuf],
    matcher: &Matcher,
    settings: &crate::scan::Settings,
    stop: &AtomicBool,
) -> anyhow::Result<(Vec<Fingerprint>, bool)> {
    let run = Scan::new(matcher, settings, &Silent, stop);
    super::scan::all_there(paths.iter())?;
    run.paths(paths.iter());
    let outcome = run.into_outcome();
    anyhow::ensure!(
        !outcome.coverage.interrupted,
        "stopped before the end; nothing was written"
    );
    let counting = outcome.findings.iter().filter(|finding| finding.counts());
    let found = counting.map(|finding| finding.fingerprint).collect();
    Ok((found, outcome.coverage.is_complete()))
}

/// What is read of a report: a document with its findings, or a line with one.
#[derive(Deserialize)]
struct Document {
    schema: String,
    findings: Option<Vec<Reported>>,
    #[serde(flatten)]
    line: Option<Reported>,
}

#[derive(Deserialize)]
struct Reported {
    status: String,
    fingerprint: String,
}

/// The keys that count of a report.
fn from_report(report: impl Read) -> anyhow::Result<Vec<Fingerprint>> {
    let mut found = Vec::new();
    let mut documents = 0;
    let what = "this is no JSON report of skewer's";
    for document in serde_json::Deserializer::from_reader(BufReader::new(report)).into_iter() {
        let document: Document = document
            .context(what)
            .hint("make one with `skewer scan --format json`")?;
        anyhow::ensure!(document.schema.starts_with("skewer."), what);
        documents += 1;
        for reported in document.findings.into_iter().flatten().chain(document.line) {
            if reported.status == "counts" {
                found.push(reported.fingerprint.parse().context(what)?);
            }
        }
    }
    anyhow::ensure!(documents > 0, "the report is empty");
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn print(seed: u8) -> Fingerprint {
        crate::secret::Secret::new(vec![seed; 40]).fingerprint()
    }

    #[test]
    fn reports_of_both_forms_are_read_and_only_what_counts_is_taken() {
        let finding = |seed, status: &str| {
            format!(
                r#""status":"{status}","fingerprint":"{}","other":[1]"#,
                print(seed)
            )
        };
        let document = format!(
            r#"{{"schema":"skewer.report/1","findings":[{{{}}},{{{}}}]}}"#,
            finding(1, "counts"),
            finding(2, "suppressed")
        );
        assert_eq!(from_report(document.as_bytes()).unwrap(), [print(1)]);
        let lines = format!(
            "{{\"schema\":\"skewer.line/1\",{}}}\n{{\"schema\":\"skewer.line/1\",\"type\":\"summary\"}}\n",
            finding(3, "counts")
        );
        assert_eq!(from_report(lines.as_bytes()).unwrap(), [print(3)]);
    }

    #[test]
    fn anything_else_is_refused() {
        for wrong in [
            "",
            "[]",
            "{}",
            "{\"schema\":\"other/1\"}",
            "{\"schema\":\"skewer.report/1\",\"findings\":[{\"status\":\"counts\",\"fingerprint\":\"12\"}]}",
            "no json",
        ] {
            assert!(from_report(wrong.as_bytes()).is_err(), "{wrong}");
        }
    }

    #[test]
    fn the_file_is_replaced_whole_and_kept_if_the_change_fails() {
        let top = tempfile::tempdir().unwrap();
        let path = top.path().join("b.toml");
        let entry = Entry {
            reason: "r".into(),
            who: None,
            date: settings::today(),
            until: None,
            line: 0,
        };
        change(&path, |b| {
            b.allow(print(1), entry.clone()).map_err(anyhow::Error::msg)
        })
        .unwrap();
        let before = std::fs::read_to_string(&path).unwrap();
        assert!(before.contains(&print(1).to_string()));
        let failed = change(&path, |b| {
            b.keys.clear();
            anyhow::bail!("no") as anyhow::Result<()>
        });
        assert!(failed.is_err());
        assert_eq!(std::fs::read_to_string(&path).unwrap(), before);
        std::fs::write(&path, "version = 9").unwrap();
        assert!(change(&path, |_| Ok(())).is_err());
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "version = 9");
        assert_eq!(std::fs::read_dir(top.path()).unwrap().count(), 1);
    }
}
