//! `skewer rotate start` and `skewer revoke`: the plan, and carrying it out when it is agreed to.

use std::collections::BTreeSet;
use std::io::{self, BufRead, IsTerminal, Write};
use std::time::Duration;

use anyhow::bail;

use super::act::{Applying, Begin, Ending, drive, handed};
use super::setup::{Setup, SetupFlags};
use super::{LISTING_AGE, When, show};
use crate::cli::error::Hint;
use crate::cli::settings::SettingFlags;
use crate::cli::{Context, Exit};
use crate::openai::{ApiKey, Project};
use crate::rotate::{self, Api, Consumer, Row, Scopes, Strategy, Wish, prepare};
use crate::secret::Secret;
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
    /// The leaked key's id, as `skewer verify` and `skewer keys list` show it. To type it confirms
    /// that this is the key.
    #[arg(value_name = "KEY-ID")]
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
    /// The key's id, as `skewer verify` and `skewer keys list` show it.
    #[arg(value_name = "KEY-ID")]
    key: String,
    #[command(flatten)]
    agreement: Agreement,
}

/// What a plan is made of, besides the configuration.
struct Draft {
    key: String,
    strategy: Strategy,
    consumers: Vec<String>,
    scopes: Option<Scopes>,
    handed: bool,
    new_account: bool,
}

impl Start {
    pub(super) fn run(self, context: &Context) -> anyhow::Result<Exit> {
        let scopes = match (self.accept_all_scopes, self.scopes.is_empty()) {
            (true, _) => Some(Scopes::All),
            (false, false) => Some(Scopes::Some(self.scopes)),
            (false, true) => None,
        };
        let draft = Draft {
            key: self.key,
            strategy: self.strategy.into(),
            consumers: self.consumer,
            scopes,
            handed: self.handed,
            new_account: self.to_service_account,
        };
        plan(draft, &self.agreement, context)
    }
}

impl Revoke {
    pub(in crate::cli) fn run(self, context: &Context) -> anyhow::Result<Exit> {
        let draft = Draft {
            key: self.key,
            strategy: Strategy::RevokeOnly,
            consumers: Vec::new(),
            scopes: None,
            handed: false,
            new_account: false,
        };
        plan(draft, &self.agreement, context)
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

fn plan(draft: Draft, agreement: &Agreement, context: &Context) -> anyhow::Result<Exit> {
    let loaded = agreement.settings.load()?;
    let stop = context.interruptible();
    let setup = agreement
        .setup
        .open(&loaded, context, &stop, agreement.apply)?;
    let mut inventory = setup.inventory(LISTING_AGE);
    if row_of(&inventory, &draft.key).is_none() {
        // It may be younger than what is in the cache.
        inventory = setup.inventory(Duration::ZERO);
    }
    let Some((project, key)) = row_of(&inventory, &draft.key) else {
        bail!(not_found(&inventory, &draft.key));
    };
    let masked = key.redacted_value.clone().unwrap_or_default();
    let (value, holders, silent) = setup.holders(&masked);
    let consumers = consumers(&setup, &draft, &holders, &silent)?;
    let id = fresh_id();
    let mut own = setup.policy.words.clone();
    let name = project.name.clone().unwrap_or_else(|| project.id.clone());
    own.entry("project".to_owned()).or_insert(name);
    let words = rotate::words(jiff::Timestamp::now(), &own);
    let wish = Wish {
        name: match draft.strategy {
            Strategy::RevokeOnly => id.clone(),
            _ => rotate::name(&setup.policy.name, &words, &id)?,
        },
        id,
        project: project.id.clone(),
        key: draft.key.clone(),
        value: value.clone(),
        strategy: draft.strategy,
        scopes: draft.scopes,
        handed: draft.handed,
        new_account: draft.new_account,
        consumers,
        waits: setup.waits(),
        who: format!("{} at {}", setup.who.actor, setup.who.host),
    };
    if let Some(journal) = agreement.setup.journal_that_is(&setup.policy)?
        && let Some(running) = journal.running(&draft.key)?
    {
        return Err(anyhow::anyhow!(
            "rotation {running} of this key has not ended"
        ))
        .hint(format!(
            "`skewer rotate resume {running}` goes on, `skewer rotate abort {running}` undoes it"
        ));
    }
    let api = Api::new(&setup.organisation.admin);
    let prepared = match prepare(&wish, &api, &setup.stores, &setup.rollouts) {
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
    if !agreement.yes && !agreed(&draft.key, context)? {
        writeln!(context.stderr(), "skewer: nothing was changed")?;
        return Ok(Exit::CannotRun);
    }
    let applying = Applying {
        journal: agreement.setup.journal(&setup.policy)?,
        handed: handed(draft.handed)?,
        key_a: None,
        setup,
    };
    drive(
        applying,
        context,
        Begin::New(Box::new(prepared.plan)),
        Ending::Closed,
    )
}

fn row_of<'a>(inventory: &'a Inventory, id: &str) -> Option<(&'a Project, &'a ApiKey)> {
    inventory.rows().find_map(|listed| match listed {
        Listed::Project(project, key) if key.id == id => Some((project, key)),
        _ => None,
    })
}

fn not_found(inventory: &Inventory, key: &str) -> String {
    let is_admin = |listed: Listed<'_>| matches!(listed, Listed::Admin(admin) if admin.id == key);
    if inventory.rows().any(is_admin) {
        return format!(
            "key {key} is an admin key, and those are never deleted here: make another by hand (Organization settings → Admin keys; its scopes can't be read by the API), put it where this one is used, then delete this one there"
        );
    }
    match &inventory.listing {
        crate::verdict::Listing::Incomplete(why) => format!(
            "no key {key} in what could be listed, and the listing is not whole: {}",
            why.detail
        ),
        _ => format!("no key {key} in this organisation; `skewer keys list` shows all"),
    }
}

/// Who uses the key: who was named, or whoever reads from a store that hands it out.
fn consumers(
    setup: &Setup,
    draft: &Draft,
    holders: &[String],
    silent: &[String],
) -> anyhow::Result<Vec<Consumer>> {
    if draft.strategy == Strategy::RevokeOnly {
        if let Some(place) = holders.first() {
            return Err(anyhow::anyhow!(
                "{place} hands this key out: its consumers would fail"
            ))
            .hint(format!(
                "`skewer rotate start {}` gives them another first",
                draft.key
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

/// The value of key A for the proof of its death, if a store had it.
pub(super) fn value_of(setup: &Setup, masked: &str) -> Option<Secret> {
    setup.holders(masked).0
}
