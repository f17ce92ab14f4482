//! Rotations that nobody asked for: after a scan with `--rotate`, or on an alert. Each key passes
//! the [gate](crate::rotate::eligible), or it is said why not.

use std::io::Write;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::act::{Applying, Begin, Ending, drive};
use super::named;
use super::plan::{Draft, propose};
use super::setup::{Setup, SetupFlags};
use super::show;
use crate::audit::{Event, Leak};
use crate::cli::settings::Loaded;
use crate::cli::{Context, Exit};
use crate::config::{Automatic, Outer, OwnerKind};
use crate::finding::{Finding, Place};
use crate::rotate::{Shut, Strategy, allowed, eligible};
use crate::secret::{Fingerprint, Secret};
use crate::verdict::{Check, Checks, Record};

/// For the commands that scan.
#[derive(Clone, Debug, clap::Args)]
pub(in crate::cli) struct RotateFlags {
    /// Rotate the keys that live, that are confirmed and that [policy.automatic] in your
    /// config.toml allows, one after the other; print the plan of the others. Implies --probe and
    /// --fresh. Status 4 or 5 if a rotation stands still.
    #[arg(long, requires = "verify")]
    rotate: bool,
    /// The rotations' journal; in CI it has to outlive the job.
    #[arg(long, value_name = "FILE", requires = "rotate")]
    journal: Option<PathBuf>,
}

/// A key that leaked, and what was found out about it.
pub(in crate::cli) struct Suspect {
    pub(super) fingerprint: Fingerprint,
    pub(super) check: Check,
    pub(super) value: Secret,
    /// Where it was found, and by which rule; an alert is on record already.
    pub(super) leak: Option<Leak>,
    /// It was found in the file alone from which its consumers read it: no leak. To rotate it would
    /// put another key there, to be found by the next scan.
    pub(super) kept: bool,
}

impl RotateFlags {
    pub(in crate::cli) fn wanted(&self) -> bool {
        self.rotate
    }

    fn setup(&self, profile: Option<&str>) -> SetupFlags {
        SetupFlags::of(profile.map(str::to_owned), self.journal.clone())
    }

    /// Finds mistakes in the configuration before a long search.
    pub(in crate::cli) fn prepare(&self, loaded: &Loaded) -> anyhow::Result<()> {
        let policy = loaded.outer()?.policy;
        match policy.automatic {
            Some(_) => self.setup(None).is_durable(&policy),
            None => Ok(()),
        }
    }

    /// The keys that were found and count, each once.
    ///
    /// # Errors
    /// The configuration can't be read.
    pub(in crate::cli) fn suspects(
        &self,
        checks: &Checks,
        findings: &[Finding],
        loaded: &Loaded,
    ) -> anyhow::Result<Vec<Suspect>> {
        let mut suspects: Vec<Suspect> = Vec::new();
        if !self.rotate {
            return Ok(suspects);
        }
        let own = own_files(&loaded.outer()?);
        for finding in findings.iter().filter(|one| one.counts()) {
            let kept = stands_in(finding, &own);
            let known = |one: &&mut Suspect| one.fingerprint == finding.fingerprint;
            let Some(check) = checks.keys.get(&finding.fingerprint) else {
                continue;
            };
            match suspects.iter_mut().find(known) {
                Some(known) if known.kept && !kept => {
                    (known.kept, known.leak) = (false, Some(leak(finding, check)));
                }
                Some(_) => {}
                None => suspects.push(Suspect {
                    fingerprint: finding.fingerprint,
                    check: check.clone(),
                    value: finding.secret.clone(),
                    leak: Some(leak(finding, check)),
                    kept,
                }),
            }
        }
        Ok(suspects)
    }

    /// Rotates what may be rotated. Whatever becomes of one key, the others are gone through; the
    /// status is `found`, unless a rotation stands still.
    pub(in crate::cli) fn run(
        &self,
        suspects: Vec<Suspect>,
        loaded: &Loaded,
        context: &Context,
        stop: &Arc<AtomicBool>,
        found: Exit,
    ) -> anyhow::Result<Exit> {
        let mut worst = found;
        for suspect in suspects {
            if stop.load(Ordering::Relaxed) {
                return Ok(Exit::Interrupted);
            }
            let one = Reacting {
                flags: self.setup(profile_of(&suspect.check, loaded)?.as_deref()),
                loaded,
                context,
                stop,
            };
            let exit = match one.react(&suspect) {
                Ok(exit) => exit,
                // One key's trouble is no reason to leave the next one.
                Err(error) => {
                    one.say(&suspect, &format!("not rotated: {error:#}"))?;
                    None
                }
            };
            worst = match (exit, worst) {
                (Some(Exit::Interrupted), _) => return Ok(Exit::Interrupted),
                (Some(Exit::Human), _) => Exit::Human,
                (Some(Exit::Paused), Exit::Human) => Exit::Human,
                (Some(Exit::Paused), _) => Exit::Paused,
                (_, worst) => worst,
            };
        }
        Ok(worst)
    }
}

/// The profile that listed a key; none, if it is the one of the environment's admin key.
fn profile_of(check: &Check, loaded: &Loaded) -> anyhow::Result<Option<String>> {
    let named = check.identity.record().map(|record| record.profile.clone());
    let known = loaded.private()?.profiles;
    Ok(named.filter(|name| known.contains_key(name)))
}

/// The files that are stores.
fn own_files(outer: &Outer) -> Vec<PathBuf> {
    #[derive(serde::Deserialize)]
    struct Kept {
        path: String,
    }
    let files = outer.stores.values().filter_map(|section| {
        let of_files = section.kind().is_ok_and(|kind| kind == "file");
        let kept: Kept = section.pick(&["path"]).ok().filter(|_| of_files)?;
        section.resolve(&kept.path).canonicalize().ok()
    });
    files.collect()
}

fn stands_in(finding: &Finding, files: &[PathBuf]) -> bool {
    match &finding.location.place {
        Place::File(path) => path
            .raw()
            .canonicalize()
            .is_ok_and(|path| files.contains(&path)),
        _ => false,
    }
}

fn leak(finding: &Finding, check: &Check) -> Leak {
    Leak {
        key: finding.fingerprint,
        mask: finding.secret.mask(),
        rule: finding.rule.id.clone(),
        severity: finding.rule.severity.as_str().to_owned(),
        place: finding.location.place.masked(),
        verdict: Some(check.verdict.as_str().to_owned()),
        key_id: check
            .identity
            .record()
            .map(|record| record.id.text().into_owned()),
    }
}

/// One key, on the way through the gate.
pub(super) struct Reacting<'a> {
    pub(super) flags: SetupFlags,
    pub(super) loaded: &'a Loaded,
    pub(super) context: &'a Context,
    pub(super) stop: &'a Arc<AtomicBool>,
}

impl Reacting<'_> {
    fn say(&self, suspect: &Suspect, text: &str) -> anyhow::Result<()> {
        let shown = show::masked(text);
        let mask = suspect.value.mask();
        Ok(writeln!(
            self.context.stderr(),
            "skewer: {mask} ({}): {shown}",
            suspect.fingerprint
        )?)
    }

    /// Rotates it, or prints its plan, or says why neither. The status is that of a rotation which
    /// was started.
    pub(super) fn react(&self, suspect: &Suspect) -> anyhow::Result<Option<Exit>> {
        if suspect.kept {
            let why = "not rotated: it stands only where a store of yours keeps it";
            self.say(suspect, why)?;
            return Ok(None);
        }
        let record = match eligible(&suspect.check) {
            Ok(record) => record,
            Err(shut) => {
                self.say(suspect, &format!("not rotated: {shut}"))?;
                return Ok(None);
            }
        };
        let automatic = self.loaded.outer()?.policy.automatic;
        let open = allowed(automatic.as_ref(), record);
        let setup = self
            .flags
            .open(self.loaded, self.context, self.stop, open.is_ok())?;
        if let (Some(leak), Ok(_)) = (&suspect.leak, &open)
            && let Err(error) = setup.write(jiff::Timestamp::now(), &Event::Leak(leak.clone()))
        {
            self.say(suspect, &format!("the audit trail has a gap: {error}"))?;
        }
        let exit = self.start(&setup, suspect, record, open);
        setup.close(self.context)?;
        exit
    }

    fn start(
        &self,
        setup: &Setup,
        suspect: &Suspect,
        record: &Record,
        open: Result<&Automatic, Shut>,
    ) -> anyhow::Result<Option<Exit>> {
        let automatic = setup.policy.automatic.as_ref();
        if let Some(running) = self.running(setup, record)? {
            self.say(
                suspect,
                &format!(
                    "rotation {running} of it has not ended: `skewer rotate resume {running}`"
                ),
            )?;
            return Ok(None);
        }
        let holders = setup.holders(|value| value.fingerprint() == suspect.fingerprint);
        let aim = named::recorded(record, (Some(suspect.value.clone()), holders))?;
        let people = |of: &Automatic| of.kinds.contains(&OwnerKind::User);
        let draft = Draft {
            strategy: Strategy::Graceful,
            new_account: automatic.is_some_and(people),
            ..Draft::default()
        };
        let mut prepared = match propose(setup, &aim, &draft)? {
            Ok(prepared) => prepared,
            Err(wrong) => {
                self.say(suspect, &format!("not rotated: {}", wrong.join("; ")))?;
                return Ok(None);
            }
        };
        show::plan(&mut self.context.stderr(), &prepared, |text| {
            setup.show(text)
        })?;
        let a_day = match open {
            Ok(policy) => policy.a_day,
            Err(shut) => {
                let start = format!("`skewer rotate start {} --apply` carries it out", aim.key);
                self.say(suspect, &format!("nothing was changed: {shut}; {start}"))?;
                return Ok(None);
            }
        };
        prepared.plan.who = format!("[policy.automatic], run by {}", prepared.plan.who);
        let applying = Applying {
            journal: self.flags.journal(&setup.policy)?,
            handed: None,
            key_a: aim.value,
            setup,
        };
        let begin = Begin::Automatic(Box::new(prepared.plan), a_day);
        drive(applying, self.context, begin, Ending::Closed).map(Some)
    }

    fn running(&self, setup: &Setup, record: &Record) -> anyhow::Result<Option<String>> {
        let journal = self.flags.journal_that_is(&setup.policy)?;
        let running = journal.map(|journal| journal.running(&record.id.text()));
        Ok(running.transpose()?.flatten())
    }
}
