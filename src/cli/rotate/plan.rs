//! `skewer rotate start` and `skewer revoke`: the plan, and carrying it out when it is agreed to.

use std::collections::BTreeSet;
use std::io::{self, BufRead, IsTerminal, Write};

use anyhow::bail;

use super::act::{Applying, Begin, Ending, drive, handed};
use super::named::{Aim, Named, aim};
use super::setup::{Holders, Setup, SetupFlags};
use super::{When, show};
use crate::cli::error::Hint;
use crate::cli::settings::SettingFlags;
use crate::cli::{Context, Exit};
use crate::rotate::{self, Api, Consumer, Prepared, Row, Scopes, Strategy, Wish, prepare};
use crate::verify::{Inventory, Listed};

/// Flags of everything that ends with a deletion.
#[derive(clap::Args)]
pub(in crate::cli) struct Agreement {
    /// Carry the plan out, after a question that names the key.
    #[arg(long)]
    apply: bool,
    /// Carry it out without the question.
    #[arg(long, requires = "apply")]
    yes: bool,
    #[command(flatten)]
    setup: SetupFlags,
    #[command(flatten)]
    settings: SettingFlags,
}

/// Show what a rotation would do; with --apply, do it.
#[derive(clap::Args)]
pub(in crate::cli) struct Start {
    /// The leaked key: its id, as `skewer verify` and `skewer keys list` show it, its fingerprint, or a
    /// JSON report that confirms its record. To type an id confirms that this is the key; a fingerprint
    /// is looked up in your stores (a key that is found is used once to confirm its record) and in
    /// the journal.
    #[arg(value_name = "KEY-ID|FINGERPRINT|REPORT")]
    key: String,
    /// When the leaked key goes.
    #[arg(long, value_enum, default_value_t = When::Graceful)]
    strategy: When,
    /// Who uses the key (a name from [consumers], or its stage); may be repeated. Otherwise: whoever reads it from
    /// a store that hands it out.
    #[arg(long, value_name = "NAME")]
    consumer: Vec<String>,
    /// The new key's rights, where nobody knows the old one's.
    #[arg(
        long,
        value_name = "SCOPE",
        value_delimiter = ',',
        conflicts_with = "accept_all_scopes"
    )]
    scopes: Vec<String>,
    /// The new key may do everything.
    #[arg(long)]
    accept_all_scopes: bool,
    /// The new key is on standard input: its owner made it.
    #[arg(long)]
    handed: bool,
    /// Replace a person's key by a service account's.
    #[arg(long, conflicts_with = "handed")]
    to_service_account: bool,
    #[command(flatten)]
    agreement: Agreement,
}

/// Delete a leaked key that has no consumers, and prove that it is dead.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  skewer revoke key_abc123            what would be done; changes nothing
  skewer revoke key_abc123 --apply    does it, after a question")]
pub(in crate::cli) struct Revoke {
    /// The key: its id, its fingerprint, or a JSON report that confirms its record, as for
    /// `skewer rotate start`.
    #[arg(value_name = "KEY-ID|FINGERPRINT|REPORT")]
    key: String,
    #[command(flatten)]
    agreement: Agreement,
}

/// What a plan is made of, besides the configuration.
#[derive(Default)]
pub(super) struct Draft {
    pub(super) strategy: Strategy,
    pub(super) consumers: Vec<String>,
    pub(super) scopes: Option<Scopes>,
    pub(super) handed: bool,
    pub(super) new_account: bool,
}

impl Start {
    pub(super) fn run(self, context: &Context) -> anyhow::Result<Exit> {
        let scopes = match (self.accept_all_scopes, self.scopes.is_empty()) {
            (true, _) => Some(Scopes::All),
            (false, false) => Some(Scopes::Some(self.scopes)),
            (false, true) => None,
        };
        let draft = Draft {
            strategy: self.strategy.into(),
            consumers: self.consumer,
            scopes,
            handed: self.handed,
            new_account: self.to_service_account,
        };
        plan(&self.key, &draft, &self.agreement, context)
    }
}

impl Revoke {
    pub(in crate::cli) fn run(self, context: &Context) -> anyhow::Result<Exit> {
        let draft = Draft {
            strategy: Strategy::RevokeOnly,
            ..Draft::default()
        };
        plan(&self.key, &draft, &self.agreement, context)
    }
}

/// The rows of all projects' keys.
pub(super) fn rows(inventory: &Inventory) -> Vec<Row> {
    let row = |listed: Listed<'_>| match listed {
        Listed::Project(_, key) => rotate::row(key).ok(),
        Listed::Admin(_) => None,
    };
    inventory.rows().filter_map(row).collect()
}

/// What is made of a wish: a plan, or all that stands in its way.
pub(super) fn propose(
    setup: &Setup,
    aim: &Aim,
    draft: &Draft,
) -> anyhow::Result<Result<Prepared, Vec<String>>> {
    let consumers = consumers(setup, aim, draft)?;
    let id = fresh_id();
    let mut own = setup.policy.words.clone();
    let name = aim.project_name.as_ref().unwrap_or(&aim.project);
    own.entry("project".to_owned()).or_insert(name.clone());
    let words = rotate::words(jiff::Timestamp::now(), &own);
    let wish = Wish {
        name: match draft.strategy {
            Strategy::RevokeOnly => id.clone(),
            _ => rotate::name(&setup.policy.name, &words, &id)?,
        },
        id,
        project: aim.project.clone(),
        key: aim.key.clone(),
        value: aim.value.clone(),
        strategy: draft.strategy,
        scopes: draft.scopes.clone(),
        handed: draft.handed,
        new_account: draft.new_account,
        consumers,
        expire_a: setup.policy.expire_a.map(|time| time.as_secs()),
        expire_b: setup.policy.expire_b.map(|time| time.as_secs()),
        waits: setup.waits(),
        who: format!("{} at {}", setup.who.actor, setup.who.host),
    };
    let api = Api::new(&setup.organisation.admin);
    Ok(prepare(&wish, &api, &setup.stores, &setup.rollouts))
}

fn plan(
    key: &str,
    draft: &Draft,
    agreement: &Agreement,
    context: &Context,
) -> anyhow::Result<Exit> {
    let named = Named::read(key)?;
    let loaded = agreement.settings.load()?;
    let stop = context.interruptible();
    let profiles = loaded.private()?.profiles;
    let profile = named.profile().filter(|name| profiles.contains_key(*name));
    let flags = agreement.setup.or_profile(profile);
    let setup = flags.open(&loaded, context, &stop, agreement.apply)?;
    let aim = aim(&setup, &flags, &named, !draft.consumers.is_empty())?;
    if let Some(journal) = flags.journal_that_is(&setup.policy)?
        && let Some(running) = journal.running(&aim.key)?
    {
        return Err(anyhow::anyhow!(
            "rotation {running} of this key has not ended"
        ))
        .hint(format!(
            "`skewer rotate resume {running}` goes on, `skewer rotate abort {running}` undoes it"
        ));
    }
    let prepared = match propose(&setup, &aim, draft)? {
        Ok(prepared) => prepared,
        Err(wrong) => {
            let mut err = context.stderr();
            writeln!(err, "This can't be done as things stand:")?;
            for one in wrong {
                writeln!(err, "  - {}", setup.show(&one))?;
            }
            return Ok(Exit::CannotRun);
        }
    };
    show::plan(&mut context.stdout(), &prepared, |text| setup.show(text))?;
    if !agreement.apply {
        writeln!(
            context.stdout(),
            "\nNothing was changed. --apply carries this out."
        )?;
        return Ok(Exit::Nothing);
    }
    if !agreement.yes && !agreed(&aim.key, context)? {
        writeln!(context.stderr(), "skewer: nothing was changed")?;
        return Ok(Exit::CannotRun);
    }
    let applying = Applying {
        journal: flags.journal(&setup.policy)?,
        handed: handed(draft.handed)?,
        key_a: aim.value,
        setup: &setup,
    };
    drive(
        applying,
        context,
        Begin::New(Box::new(prepared.plan)),
        Ending::Closed,
    )
}

/// Who uses the key: who was named, or whoever reads from a store that hands it out.
fn consumers(setup: &Setup, aim: &Aim, draft: &Draft) -> anyhow::Result<Vec<Consumer>> {
    let Holders {
        places: holders,
        silent,
        ..
    } = &aim.holders;
    if draft.strategy == Strategy::RevokeOnly {
        if let Some(place) = holders.first() {
            return Err(anyhow::anyhow!(
                "{place} hands this key out: its consumers would fail"
            ))
            .hint(format!(
                "`skewer rotate start {}` gives them another first",
                aim.key
            ));
        }
        return Ok(Vec::new());
    }
    if draft.consumers.is_empty() {
        let of = setup
            .consumers
            .iter()
            .filter(|one| holders.contains(&one.place));
        let doubtful: Vec<&str> = setup
            .consumers
            .iter()
            .filter(|one| silent.contains(&one.place))
            .map(|one| one.name.as_str())
            .collect();
        if !doubtful.is_empty() {
            return Err(anyhow::anyhow!(
                "nobody can say whether these use the key, since their stores can't be read: {}",
                doubtful.join(", ")
            ))
            .hint("name all consumers of this key with --consumer");
        }
        return Ok(of.cloned().collect());
    }
    let named: BTreeSet<&String> = draft.consumers.iter().collect();
    let known: Vec<Consumer> = setup
        .consumers
        .iter()
        .filter(|one| named.contains(&one.name))
        .cloned()
        .collect();
    if let Some(unknown) = named
        .iter()
        .find(|name| !known.iter().any(|one| one.name == ***name))
    {
        bail!("no consumer {unknown} in your configuration");
    }
    let forgotten = setup
        .consumers
        .iter()
        .find(|one| holders.contains(&one.place) && !named.contains(&one.name));
    if let Some(forgotten) = forgotten {
        return Err(anyhow::anyhow!(
            "{} reads this key from {}, and was not named",
            forgotten.name,
            forgotten.place
        ))
        .hint(format!("add --consumer {}", forgotten.name));
    }
    Ok(known)
}

fn fresh_id() -> String {
    use std::hash::BuildHasher;
    let seed = std::hash::RandomState::new().hash_one(jiff::Timestamp::now().as_nanosecond());
    format!("{:08x}", seed as u32)
}

/// Asks the user to type the id of what is to be changed.
pub(super) fn agreed(key: &str, context: &Context) -> anyhow::Result<bool> {
    if !io::stdin().is_terminal() {
        return Err(anyhow::anyhow!("there is nobody to ask")).hint("--yes carries it out unasked");
    }
    write!(context.stderr(), "\nType {key} to carry this out: ")?;
    let mut line = String::new();
    io::stdin().lock().read_line(&mut line)?;
    Ok(line.trim() == key)
}
