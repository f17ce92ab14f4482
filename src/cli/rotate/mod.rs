//! `skewer rotate`: from a leaked key to a revoked one.

mod act;
mod automatic;
mod contain;
mod hand_over;
mod named;
mod plan;
mod respond;
mod setup;
mod show;

use std::io::Write;
use std::time::Duration;

use clap::ValueEnum;

use self::act::{Applying, Ending, drive};
use self::setup::SetupFlags;
use super::error::Hint;
use super::settings::SettingFlags;
use super::{Context, Exit};
use crate::rotate::{Journal, Memory, Strategy, Summary, due};

pub(super) use self::automatic::RotateFlags;
pub(super) use self::contain::Contain;
pub(super) use self::plan::{Revoke, Start};
pub(super) use self::respond::Respond;
pub(super) use self::show::entry;

/// Rotate a leaked key: make another, store it, roll it out, prove that it is used, delete the
/// leaked one.
#[derive(clap::Subcommand)]
#[command(after_help = "\
Examples:
  skewer rotate start key_abc123              what would be done; changes nothing
  skewer rotate start key_abc123 --apply      does it, after a question
  skewer rotate start verified.json           the key whose record this report confirms
  skewer rotate resume 0123abcd               goes on with one that stands still
  skewer rotate abort 0123abcd                gives consumers the old key back

Exit status: 0 done or planned, 2 it can't be, 4 stands still and can be resumed, 5 a person has to
decide, 130 interrupted (resume or abort it)")]
pub(super) enum Rotate {
    Start(Start),
    List(List),
    Status(One),
    Resume(Resume),
    Abort(Abort),
    HandOver(hand_over::HandOver),
    Due(Due),
}

/// When the leaked key goes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
enum When {
    /// Once the new key is proved and the old one stands still
    #[default]
    Graceful,
    /// As soon as there is a new key, since the old one is abused: consumers fail until they are rolled
    Immediate,
}

impl From<When> for Strategy {
    fn from(when: When) -> Self {
        match when {
            When::Graceful => Self::Graceful,
            When::Immediate => Self::Immediate,
        }
    }
}

/// List the rotations in the journal, the latest first.
#[derive(clap::Args)]
pub(super) struct List {
    /// The journal's file.
    #[command(flatten)]
    setup: SetupFlags,
    #[command(flatten)]
    settings: SettingFlags,
}

/// Tell where a rotation stands, and what it did.
#[derive(clap::Args)]
pub(super) struct One {
    /// The rotation's id.
    #[arg(value_name = "ID")]
    id: String,
    #[command(flatten)]
    setup: SetupFlags,
    #[command(flatten)]
    settings: SettingFlags,
}

/// Go on with a rotation that stands still.
#[derive(clap::Args)]
pub(super) struct Resume {
    #[command(flatten)]
    one: One,
    /// Go on although the old key is still used; says why, for the record.
    #[arg(long, value_name = "REASON")]
    overrule: Option<String>,
    /// Key B is on standard input: its owner hands it over.
    #[arg(long)]
    handed: bool,
}

/// Undo a rotation: consumers get the old key back, the new one is deleted.
#[derive(clap::Args)]
pub(super) struct Abort {
    #[command(flatten)]
    one: One,
    /// Why, for the record.
    #[arg(long, value_name = "REASON", default_value = "asked for")]
    why: String,
    /// The old key is on standard input: for a store that can't give it back, as the plan says.
    #[arg(long)]
    key_a: bool,
}

/// List keys that are older than the cadence allows, or whose names break the convention.
#[derive(clap::Args)]
pub(super) struct Due {
    #[command(flatten)]
    setup: SetupFlags,
    #[command(flatten)]
    settings: SettingFlags,
}

impl Rotate {
    pub(super) fn run(self, context: &Context) -> anyhow::Result<Exit> {
        match self {
            Self::Start(command) => command.run(context),
            Self::List(command) => command.run(context),
            Self::Status(command) => command.status(context),
            Self::Resume(command) => command.run(context),
            Self::Abort(command) => command.run(context),
            Self::HandOver(command) => command.run(context),
            Self::Due(command) => command.run(context),
        }
    }
}

/// How old a listing may be that only says where to look: all that is done rests on a fresh one.
const LISTING_AGE: Duration = Duration::from_secs(3600);

/// The journal, without anything that asks a server.
fn journal(setup: &SetupFlags, settings: &SettingFlags) -> anyhow::Result<Journal> {
    let loaded = settings.load()?;
    setup.journal(&loaded.outer()?.policy)
}

impl List {
    fn run(self, context: &Context) -> anyhow::Result<Exit> {
        let journal = journal(&self.setup, &self.settings)?;
        let mut out = context.stdout();
        for id in journal.ids()? {
            let Summary {
                plan,
                begun,
                entries,
            } = journal.read(&id)?;
            let memory = Memory::of(&entries);
            writeln!(
                out,
                "{id}  {}  {}  {}  {}",
                show::moment(begun),
                show::standing(&plan, &memory),
                plan.key.id,
                show::masked(&plan.name),
            )?;
        }
        Ok(Exit::Nothing)
    }
}

impl One {
    fn status(self, context: &Context) -> anyhow::Result<Exit> {
        let journal = journal(&self.setup, &self.settings)?;
        let summary = journal.read(&self.id)?;
        let memory = Memory::of(&summary.entries);
        show::status(&mut context.stdout(), &summary, &memory)?;
        Ok(match memory.closed {
            true => Exit::Nothing,
            false => Exit::Paused,
        })
    }
}

impl Resume {
    fn run(self, context: &Context) -> anyhow::Result<Exit> {
        let loaded = self.one.settings.load()?;
        let stop = context.interruptible();
        let setup = self.one.setup.open(&loaded, context, &stop, true)?;
        let applying = Applying {
            journal: self.one.setup.journal(&setup.policy)?,
            setup: &setup,
            handed: act::handed(self.handed)?,
            key_a: None,
        };
        let ending = match self.overrule {
            Some(why) => Ending::Overruled(why),
            None => Ending::Closed,
        };
        drive(applying, context, act::Begin::Resume(self.one.id), ending)
    }
}

impl Abort {
    fn run(self, context: &Context) -> anyhow::Result<Exit> {
        let loaded = self.one.settings.load()?;
        let stop = context.interruptible();
        let setup = self.one.setup.open(&loaded, context, &stop, true)?;
        let journal = self.one.setup.journal(&setup.policy)?;
        let key_a = act::handed(self.key_a)?;
        if let Some(value) = &key_a {
            act::is_key_a(value, &journal.read(&self.one.id)?.plan)?;
        }
        let applying = Applying {
            journal,
            setup: &setup,
            handed: None,
            key_a,
        };
        drive(
            applying,
            context,
            act::Begin::Resume(self.one.id),
            Ending::Undone(self.why),
        )
    }
}

impl Due {
    fn run(self, context: &Context) -> anyhow::Result<Exit> {
        let loaded = self.settings.load()?;
        let stop = context.interruptible();
        let setup = self.setup.open(&loaded, context, &stop, false)?;
        let inventory = setup.inventory(LISTING_AGE);
        let rows: Vec<crate::rotate::Row> = plan::rows(&inventory);
        let now = jiff::Timestamp::now().as_second();
        let days = (setup.policy.cadence.as_secs() / 86_400) as i64;
        let due = due(&rows, &setup.policy.name, days, now);
        let mut out = context.stdout();
        for one in &due {
            let mut why = Vec::new();
            if one.too_old {
                why.push(format!("older than {days} days"));
            }
            if one.misnamed {
                why.push("named otherwise than the template says".to_owned());
            }
            writeln!(
                out,
                "{:>5} days  {}  {}  {}",
                one.days,
                one.row.id,
                setup.show(&one.row.name),
                why.join(", ")
            )?;
        }
        if due.is_empty() && !context.quiet {
            writeln!(context.stderr(), "skewer: no key is due")?;
        }
        let whole = matches!(inventory.listing, crate::verdict::Listing::Complete);
        if !whole {
            return Err(anyhow::anyhow!(
                "the listing is not whole: keys may be missing above"
            ))
            .hint("`skewer keys list --fresh` says why");
        }
        Ok(match due.is_empty() {
            true => Exit::Nothing,
            false => Exit::Found,
        })
    }
}
