//! What a rotation works with, as the user's own configuration has it.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use anyhow::{Context as _, bail};

use crate::audit::{Event, Trail, Who};
use crate::cli::Context;
use crate::cli::asking::{self, System};
use crate::cli::error::Hint;
use crate::cli::settings::Loaded;
use crate::cli::verifying::AskFlags;
use crate::config::{Outer, Policy, Surroundings};
use crate::matcher::Matcher;
use crate::rollout::{self, Stage};
use crate::rotate::{self, Consumer, Entry, Journal, Plan, Waits};
use crate::rules::Rules;
use crate::secret::{Masked, Secret};
use crate::store::{self, Outside, Slot, Store};
use crate::verdict::Mask;
use crate::verify::{Inventory, Organisation};

/// Flags that every command about rotations has.
#[derive(Clone, Debug, clap::Args)]
pub(in crate::cli) struct SetupFlags {
    /// Ask this organisation (a name from [profiles]).
    #[arg(long, value_name = "NAME")]
    profile: Option<String>,
    /// The journal's file; in CI it has to outlive the job.
    #[arg(long, value_name = "FILE")]
    journal: Option<PathBuf>,
    /// The ticket that asks for this, for the audit trail.
    #[arg(long, value_name = "TEXT")]
    ticket: Option<String>,
    /// Who approved of this, for the audit trail.
    #[arg(long, value_name = "TEXT")]
    approver: Option<String>,
}

/// Everything, opened but not asked yet.
pub(in crate::cli) struct Setup {
    pub(super) organisation: Organisation,
    pub(super) stores: BTreeMap<String, Arc<dyn Store>>,
    pub(super) rollouts: BTreeMap<String, Stage>,
    pub(super) consumers: Vec<Consumer>,
    pub(super) policy: Policy,
    pub(super) clock: System,
    pub(super) who: Who,
    trail: Trail,
    matcher: Matcher,
}

/// What is left to do without an admin key.
const BY_HAND: &str = "set OPENAI_ADMIN_KEY or name a profile in your config.toml; without an admin key, do it by hand: have the key's owner (or an owner of its project) make another under Project settings → API keys, put it where the old one is used, see that the old one's \"last used\" stands still, and delete it there";

fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

/// `$XDG_STATE_HOME/skewer`, or what stands for it.
fn state_directory() -> anyhow::Result<PathBuf> {
    let absolute = |name: &str| {
        variable(name)
            .map(PathBuf::from)
            .filter(|p| p.is_absolute())
    };
    let home = || absolute("HOME").map(|home| home.join(".local/state"));
    let base = absolute("XDG_STATE_HOME").or_else(home);
    base.or_else(|| absolute("LOCALAPPDATA"))
        .map(|base| base.join("skewer"))
        .context("there is no directory for the journal: neither XDG_STATE_HOME nor HOME is set")
}

impl SetupFlags {
    /// Opens the journal alone: nothing else is needed to look at rotations.
    pub(super) fn journal(&self, policy: &Policy) -> anyhow::Result<Journal> {
        Ok(Journal::open(&self.journal_path(policy)?)?)
    }

    /// The journal, if there is one: to look at it does not make it.
    pub(super) fn journal_that_is(&self, policy: &Policy) -> anyhow::Result<Option<Journal>> {
        let path = self.journal_path(policy)?;
        Ok(match path.exists() {
            true => Some(Journal::open(&path)?),
            false => None,
        })
    }

    fn journal_path(&self, policy: &Policy) -> anyhow::Result<PathBuf> {
        match self.journal.clone().or_else(|| policy.journal.clone()) {
            Some(path) => Ok(path),
            None => Ok(state_directory()?.join("journal.sqlite")),
        }
    }

    /// A CI job's own disk goes with the job, and a rotation that was cut off with it.
    fn is_durable(&self, policy: &Policy) -> anyhow::Result<()> {
        let named = self.journal.is_some() || policy.journal.is_some();
        match variable("CI").is_some() && !named {
            true => Err(anyhow::anyhow!(
                "in CI, --apply needs a journal that outlives the job"
            ))
            .hint("name one with --journal FILE, on a volume or in a cache that the next job gets"),
            false => Ok(()),
        }
    }

    pub(in crate::cli) fn open(
        &self,
        loaded: &Loaded,
        context: &Context,
        stop: &Arc<AtomicBool>,
        apply: bool,
    ) -> anyhow::Result<Setup> {
        let outer = loaded.outer()?;
        if apply {
            self.is_durable(&outer.policy)?;
        }
        let profiles: Vec<String> = self.profile.iter().cloned().collect();
        let verifying = AskFlags::listing(&profiles, false).prepare(loaded);
        let verifying = match self.profile {
            None => verifying.hint(BY_HAND)?,
            Some(_) => verifying?,
        };
        let mut organisations = verifying.reachable(context, stop)?;
        let organisation = match (organisations.pop(), organisations.len()) {
            (Some(one), 0) => one,
            _ => bail!("there are several organisations: name one with --profile"),
        };
        let variable_of = |name: &str| variable(name).map(|value| Secret::new(value.into_bytes()));
        let http = asking::reached(&loaded.private()?.network, false)?;
        let outside = Outside {
            surroundings: Surroundings {
                variable: &variable_of,
            },
            http: &http,
            now: jiff::Timestamp::now,
        };
        let mut stores: BTreeMap<String, Arc<dyn Store>> = BTreeMap::new();
        for (name, section) in &outer.stores {
            stores.insert(name.clone(), Arc::from(store::open(section, &outside)?));
        }
        let (consumers, rollouts) = consumers(&outer, &outside)?;
        let matcher = Matcher::new(&Rules::built_in(), None);
        let who = self.who(&matcher);
        let trail = match &outer.audit {
            Some(audit) => audit.file.clone(),
            None => state_directory()?.join("trail.jsonl"),
        };
        Ok(Setup {
            organisation,
            stores,
            rollouts,
            consumers,
            policy: outer.policy,
            clock: System::new(stop),
            trail: Trail::new(trail, who.clone()),
            who,
            matcher,
        })
    }

    fn who(&self, matcher: &Matcher) -> Who {
        let masked = |text: &str| matcher.redact(text.as_bytes());
        let first = |names: &[&str]| names.iter().find_map(|name| variable(name));
        let host = first(&["HOSTNAME", "COMPUTERNAME"]).or_else(|| {
            let name = std::fs::read_to_string("/etc/hostname").ok()?;
            Some(name.trim().to_owned())
        });
        Who {
            actor: masked(
                &first(&["GITLAB_USER_LOGIN", "GITHUB_ACTOR", "USER", "USERNAME"])
                    .unwrap_or_default(),
            ),
            host: masked(&host.unwrap_or_default()),
            job: first(&["CI_JOB_URL", "GITHUB_RUN_ID", "BUILD_URL"]).map(|text| masked(&text)),
            ticket: self.ticket.as_deref().map(masked),
            approver: self.approver.as_deref().map(masked),
        }
    }
}

/// The consumers, and how each is moved. Of several stages the first is the canary.
fn consumers(
    outer: &Outer,
    outside: &Outside<'_>,
) -> anyhow::Result<(Vec<Consumer>, BTreeMap<String, Stage>)> {
    let mut consumers = Vec::new();
    let mut rollouts = BTreeMap::new();
    for (of, consumer) in &outer.consumers {
        for (number, section) in consumer.stages.iter().enumerate() {
            let stage = rollout::open_stage(section, outside)?;
            let name = match consumer.stages.len() {
                1 => of.clone(),
                _ => format!("{of}/{}", stage.name),
            };
            if rollouts.insert(name.clone(), stage).is_some() {
                bail!(section.invalid("two stages have one name"));
            }
            consumers.push(Consumer {
                name,
                place: consumer.store.clone(),
                canary: number == 0 && consumer.stages.len() > 1,
            });
        }
    }
    Ok((consumers, rollouts))
}

impl Setup {
    /// Texts from outside, fit to be shown.
    pub(super) fn show(&self, text: &str) -> Masked {
        self.matcher.redact(text.as_bytes())
    }

    /// Writes an entry into the trail. A trail that can't be written stops nothing: the journal
    /// has it, and the next line tells of the gap.
    pub(super) fn record(&self, plan: &Plan, entry: &Entry) -> Result<(), String> {
        let redact = |text: &[u8]| self.matcher.redact(text);
        let time = jiff::Timestamp::from_second(entry.at).unwrap_or_default();
        self.write(time, &rotate::event(plan, entry, &redact))
    }

    /// Writes a line into the trail.
    pub(super) fn write(&self, time: jiff::Timestamp, event: &Event) -> Result<(), String> {
        let written = self.trail.append(time, event);
        written.map(drop).map_err(|error| error.to_string())
    }

    pub(super) fn waits(&self) -> Waits {
        let of = &self.policy;
        Waits {
            answers: of.answers,
            between: of.between.as_secs(),
            settling: of.settling.as_secs(),
            quiet: of.quiet.as_secs(),
            proof: of.proof.as_secs(),
            tries: of.tries,
            lease: of.lease.as_secs(),
        }
    }

    /// Every key, from the cache if it is younger than `age`.
    pub(super) fn inventory(&self, age: Duration) -> Inventory {
        self.organisation.inventory(age)
    }

    /// Key A's value, if a store hands it out; and the stores that do, or may.
    pub(super) fn holders(&self, masked: &str) -> (Option<Secret>, Vec<String>, Vec<String>) {
        let mask = Mask::parse(masked);
        let fits = |value: &Secret| mask.as_ref().is_some_and(|mask| mask.fits(value.expose()));
        let mut value = None;
        let (mut holders, mut silent) = (Vec::new(), Vec::new());
        for (name, store) in &self.stores {
            match store.read(Slot::Current) {
                Ok(Some(held)) => match held.value {
                    Some(there) if fits(&there) => {
                        holders.push(name.clone());
                        value = Some(there);
                    }
                    Some(_) => {}
                    None => silent.push(name.clone()),
                },
                // The plan tells of what can't be read, if it needs it.
                Ok(None) | Err(_) => silent.push(name.clone()),
            }
        }
        (value, holders, silent)
    }
}
