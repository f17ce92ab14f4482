//! From findings to what is known of their keys: the flags, the organisations, progress on the
//! terminal. `verify` does the work.

use std::collections::BTreeMap;
use std::io::{self, IsTerminal, Write};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, UNIX_EPOCH};

use clap::ValueEnum;
use indicatif::{ProgressBar, ProgressStyle};

use super::asking::{self, ADMIN_KEY};
use super::context::Context;
use super::error::Hint;
use super::rotate::RotateFlags;
use super::settings::Loaded;
use crate::config::{Credential, OpenAi, Private};
use crate::finding::{Finding, Place};
use crate::matcher::Matcher;
use crate::openai::{Admin, News, Progress, Service};
use crate::report::human_time;
use crate::rules::Rules;
use crate::secret::{Fingerprint, Masked, Secret};
use crate::verdict::{Checks, ListingInfo, Record, Since, Verdict};
use crate::verify::{self, Organisation, Proof, Settings, Subject, lacks};

/// For the commands that scan.
#[derive(Clone, Debug, clap::Args)]
#[command(
    next_help_heading = "Verification (not for pull requests of strangers: it needs an admin key)"
)]
pub(super) struct VerifyFlags {
    /// Look the keys up in your organisations: whose they are, and what they did.
    #[arg(long)]
    verify: bool,
    #[command(flatten)]
    asking: AskFlags,
    #[command(flatten)]
    pub(super) rotate: RotateFlags,
}

/// How to ask.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct AskFlags {
    /// Use each key once, for the free list of models, to see whether it lives.
    #[arg(long)]
    probe: bool,
    /// Ask this organisation only (a name from [profiles]); may be repeated. All, if not given.
    #[arg(long, value_name = "NAME")]
    profile: Vec<String>,
    /// List everything again, whatever is in the cache.
    #[arg(long)]
    fresh: bool,
    /// Which keys fail the run.
    #[arg(long, value_name = "WHICH", value_enum, default_value_t = FailOn::Any)]
    fail_on: FailOn,
}

/// Which keys fail a run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(super) enum FailOn {
    /// Every key
    #[default]
    Any,
    /// Every key that is not proven dead
    NotDead,
    /// Keys that are known to live; a key of unknown fate ends the run with 3
    Live,
}

impl FailOn {
    /// Whether a key with this verdict fails the run.
    pub(super) fn fails(self, verdict: Option<&Verdict>) -> bool {
        match self {
            Self::Any => true,
            Self::NotDead => !verdict.is_some_and(Verdict::is_dead),
            Self::Live => verdict.is_some_and(Verdict::is_live),
        }
    }
}

/// What verification came to, for the report and the exit status.
pub(super) struct Verified {
    pub(super) checks: Checks,
    pub(super) fail_on: FailOn,
}

impl VerifyFlags {
    /// Ready to ask, if that is wanted.
    ///
    /// # Errors
    /// There is nobody to ask, or a flag makes no sense.
    pub(super) fn prepare(&self, loaded: &Loaded) -> anyhow::Result<Option<Verifying>> {
        let flags = &self.asking;
        if self.verify && self.rotate.wanted() {
            self.rotate.prepare(loaded)?;
            let surely = AskFlags {
                probe: true,
                fresh: true,
                ..flags.clone()
            };
            return surely.prepare(loaded).map(Some);
        }
        if self.verify {
            return flags.prepare(loaded).map(Some);
        }
        let stray = flags.probe || flags.fresh || !flags.profile.is_empty();
        match stray || flags.fail_on != FailOn::Any {
            true => Err(anyhow::anyhow!(
                "--probe, --profile, --fresh and --fail-on go with --verify"
            ))
            .hint("add --verify, or leave them out"),
            false => Ok(None),
        }
    }
}

impl AskFlags {
    /// For a listing alone.
    pub(super) fn listing(profile: &[String], fresh: bool) -> Self {
        Self {
            probe: false,
            profile: profile.to_vec(),
            fresh,
            fail_on: FailOn::Any,
        }
    }

    /// Ready to ask. Keys are fetched now, so that a mistake is told before a long scan; nothing is
    /// connected yet.
    pub(super) fn prepare(&self, loaded: &Loaded) -> anyhow::Result<Verifying> {
        let private = loaded.private()?;
        let admins = admins(&private, &self.profile)?;
        if admins.is_empty() && !self.probe {
            return Err(anyhow::anyhow!("there is no admin key to look keys up with")).hint(format!(
                "set {ADMIN_KEY}, name a profile in your configuration, or ask with --probe alone whether the keys live"
            ));
        }
        let control = private.openai.control_key.as_ref().map(asking::key);
        Ok(Verifying {
            flags: self.clone(),
            control: control.transpose()?,
            private,
            admins,
            typed: None,
            since: BTreeMap::new(),
        })
    }
}

/// The admin keys, by profile: those that are named, else all, else the environment's.
fn admins(private: &Private, named: &[String]) -> anyhow::Result<BTreeMap<String, Secret>> {
    let mut found = BTreeMap::new();
    for name in named {
        let profile = private.profiles.get(name);
        let profile = profile.ok_or_else(|| anyhow::anyhow!("there is no profile {name:?}"));
        let profile =
            profile.hint("profiles stand in your own configuration, as [profiles.NAME]")?;
        found.insert(name.clone(), asking::key(&profile.admin_key)?);
    }
    if !named.is_empty() {
        return Ok(found);
    }
    for (name, profile) in &private.profiles {
        found.insert(name.clone(), asking::key(&profile.admin_key)?);
    }
    let set = std::env::var_os(ADMIN_KEY).is_some_and(|value| !value.is_empty());
    if found.is_empty() && set {
        let key = asking::key(&Credential::Env(ADMIN_KEY.to_owned()))?;
        found.insert("default".to_owned(), key);
    }
    Ok(found)
}

/// How keys are asked about, as the configuration has it.
pub(super) fn asked<'a>(
    openai: &OpenAi,
    probe: Option<&'a Service>,
    cache_age: Duration,
) -> Settings<'a> {
    Settings {
        probe,
        control: None,
        proof: Proof {
            answers: openai.dead_answers.max(2),
            pause: Duration::from_secs(openai.dead_pause_seconds),
        },
        cache_age,
        last_used_lag: Duration::from_secs(openai.last_used_lag_seconds),
        longest_window: Duration::from_secs(openai.window_days * 86_400),
        usage_lag: Duration::from_secs(openai.usage_lag_minutes * 60),
        typed: None,
    }
}

/// Ready to ask.
pub(super) struct Verifying {
    flags: AskFlags,
    private: Private,
    admins: BTreeMap<String, Secret>,
    control: Option<Secret>,
    /// A record's id, as the operator typed it.
    pub(super) typed: Option<String>,
    /// Since when keys are known to be exposed, where their place doesn't say.
    pub(super) since: BTreeMap<Fingerprint, Since>,
}

/// Every key of the organisations.
pub(super) struct Inventories {
    pub(super) listings: Vec<ListingInfo>,
    pub(super) records: Vec<Record>,
    /// The time, in seconds since 1970.
    pub(super) now: i64,
}

impl Verifying {
    /// Asks about the keys of the findings that count. Nothing is connected if there are none.
    ///
    /// # Errors
    /// The client can't be made. What servers answer is no error: it is told of the keys.
    pub(super) fn run(
        self,
        findings: &[Finding],
        context: &Context,
        stop: &Arc<AtomicBool>,
    ) -> anyhow::Result<Verified> {
        let fail_on = self.flags.fail_on;
        let counting: Vec<&Finding> = findings.iter().filter(|f| f.counts()).collect();
        if counting.is_empty() {
            return Ok(Verified {
                checks: Checks::default(),
                fail_on,
            });
        }
        let bar = Arc::new(Bar::new(context));
        let organisations = self.organisations(&bar, stop)?;
        let prober = match self.flags.probe {
            true => Some(self.service(&bar, stop)?),
            false => None,
        };
        let cache_age = self.cache_age();
        let mut notes = Vec::new();
        for organisation in &organisations {
            if organisation.is_warm(cache_age) {
                continue;
            }
            for lack in lacks(&organisation.admin) {
                let text = format!(
                    "the admin key of {} lacks something: {}",
                    organisation.profile,
                    lack.text()
                );
                bar.say(&Masked::vouched(text.as_str()))?;
                notes.push(Masked::vouched(text));
            }
        }
        let settings = Settings {
            control: self.control.as_ref(),
            typed: self.typed.as_deref(),
            ..asked(&self.private.openai, prober.as_ref(), cache_age)
        };
        let subjects = counting.iter().map(|finding| self.subject(finding));
        let subjects: Vec<Subject<'_>> = subjects.collect();
        let mut checks = verify::check(&organisations, &subjects, &settings);
        checks.notes.extend(notes);
        bar.clear();
        Ok(Verified { checks, fail_on })
    }

    fn service(&self, bar: &Arc<Bar>, stop: &Arc<AtomicBool>) -> anyhow::Result<Service> {
        let matcher = Matcher::new(&Rules::built_in(), None);
        let redact = Arc::new(move |text: &[u8]| matcher.redact(text));
        let Private {
            network, openai, ..
        } = &self.private;
        asking::service(network, openai, redact, bar.clone(), stop)
    }

    fn subject<'f>(&self, finding: &'f Finding) -> Subject<'f> {
        let known = self.since.get(&finding.fingerprint).copied();
        Subject {
            fingerprint: finding.fingerprint,
            key: &finding.secret,
            kind: &finding.rule.kind,
            since: known.or_else(|| since(&finding.location.place)),
        }
    }

    fn cache_age(&self) -> Duration {
        match self.flags.fresh {
            true => Duration::ZERO,
            false => Duration::from_secs(self.private.openai.cache_minutes * 60),
        }
    }

    /// Lists every key.
    pub(super) fn inventories(
        &self,
        context: &Context,
        stop: &Arc<AtomicBool>,
    ) -> anyhow::Result<Inventories> {
        let bar = Arc::new(Bar::new(context));
        let mut all = Inventories {
            listings: Vec::new(),
            records: Vec::new(),
            now: jiff::Timestamp::now().as_second(),
        };
        for organisation in self.organisations(&bar, stop)? {
            let inventory = organisation.inventory(self.cache_age());
            all.listings.push(inventory.info());
            all.records
                .extend(inventory.rows().map(|row| inventory.record(row)));
        }
        bar.clear();
        Ok(all)
    }

    /// The organisations, not asked yet.
    pub(super) fn reachable(
        &self,
        context: &Context,
        stop: &Arc<AtomicBool>,
    ) -> anyhow::Result<Vec<Organisation>> {
        self.organisations(&Arc::new(Bar::new(context)), stop)
    }

    fn organisations(
        &self,
        bar: &Arc<Bar>,
        stop: &Arc<AtomicBool>,
    ) -> anyhow::Result<Vec<Organisation>> {
        let keeps = self.private.openai.cache_minutes > 0;
        let directory = asking::cache_directory().filter(|_| keeps);
        let one = |(name, key): (&String, &Secret)| {
            let file = format!("listing-{}.json", key.fingerprint());
            let service = Arc::new(self.service(bar, stop)?);
            Ok(Organisation {
                profile: name.clone(),
                cache: directory.as_ref().map(|directory| directory.join(file)),
                admin: Admin::new(service, key.clone()),
            })
        };
        self.admins.iter().map(one).collect()
    }
}

/// Since when a key stands where it was found: the first commit, or the file's last change.
fn since(place: &Place) -> Option<Since> {
    match place {
        Place::Object(object) => object.first.as_ref().map(|first| Since {
            at: first.time,
            by: "first commit",
        }),
        Place::File(path) | Place::FileName(path) => {
            let changed = path.raw().metadata().ok()?.modified().ok()?;
            let seconds = changed.duration_since(UNIX_EPOCH).ok()?.as_secs();
            Some(Since {
                at: i64::try_from(seconds).ok()?,
                by: "file",
            })
        }
        Place::Staged { .. } | Place::Stream(_) => None,
    }
}

/// How far it is, in one line of a terminal.
struct Bar(Option<ProgressBar>);

impl Bar {
    fn new(context: &Context) -> Self {
        let shown = !context.quiet && io::stderr().is_terminal();
        Self(shown.then(|| {
            let style = ProgressStyle::with_template("{spinner} {msg}").expect("a constant");
            ProgressBar::no_length().with_style(style)
        }))
    }

    /// Says something that is to stay.
    fn say(&self, text: &Masked) -> io::Result<()> {
        self.clear();
        writeln!(io::stderr(), "skewer: {text}")
    }

    fn clear(&self) {
        if let Some(bar) = &self.0 {
            bar.finish_and_clear();
        }
    }
}

impl Progress for Bar {
    fn tell(&self, news: News) {
        let Some(bar) = &self.0 else { return };
        bar.set_message(match news {
            News::Pacing(time) => format!(
                "waiting {}: OpenAI grants few requests a minute",
                human_time(time)
            ),
            News::Retrying { pause, attempts } => {
                format!(
                    "attempt {attempts} failed, the next in {}",
                    human_time(pause)
                )
            }
            News::Step {
                what,
                done,
                total,
                left,
            } if left.is_zero() => format!("{what}: {done} of {total}"),
            News::Step {
                what,
                done,
                total,
                left,
            } => {
                format!(
                    "{what}: {done} of {total}, at least {} left",
                    human_time(left)
                )
            }
        });
        bar.tick();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::verdict::{Life, Why};

    #[test]
    fn what_fails_a_run_is_what_was_asked_for() {
        let live = Verdict::Live(Life::NoMoney);
        let dead = Verdict::Dead {
            answers: 3,
            over: Duration::from_secs(20),
            control: true,
        };
        let unknown = Verdict::Unknown(Why::new("server", "x"));
        let all = [Some(&live), Some(&dead), Some(&unknown), None];
        let fails = |which: FailOn| all.map(|verdict| which.fails(verdict));
        assert_eq!(fails(FailOn::Any), [true, true, true, true]);
        assert_eq!(fails(FailOn::NotDead), [true, false, true, true]);
        assert_eq!(fails(FailOn::Live), [true, false, false, false]);
    }
}
