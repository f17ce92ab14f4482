//! `skewer contain`: a project's limits are lowered at once, and given back later.

use std::collections::BTreeMap;
use std::io::{self, Write};

use super::plan::agreed;
use super::setup::{Setup, SetupFlags};
use crate::audit::{Activity, Entity, EntityKind, Event, Outcome, Step};
use crate::cli::error::Hint;
use crate::cli::settings::SettingFlags;
use crate::cli::{Context, Exit};
use crate::rotate::{Ceiling, Limits, contain, restore};
use crate::secret::Masked;

/// Lower a project's rate and spend limits to next to nothing, so that a leaked key does little
/// until it is gone.
///
/// The limits are those of the whole project: all of its keys are slowed. What they were is in the
/// journal before the first is touched.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  skewer contain proj_abc123              what would be lowered; changes nothing
  skewer contain proj_abc123 --apply      does it, after a question
  skewer contain proj_abc123 --restore    gives the limits back that it had

Exit status: 0 done or planned, 2 it can't be done, or not all of it")]
pub(in crate::cli) struct Contain {
    /// The project's id.
    #[arg(value_name = "PROJECT")]
    project: String,
    /// Lower the limits, after a question that names the project.
    #[arg(long)]
    apply: bool,
    /// Lower them without the question.
    #[arg(long, requires = "apply")]
    yes: bool,
    /// Give the limits back that the project had.
    #[arg(long, conflicts_with = "apply")]
    restore: bool,
    #[command(flatten)]
    setup: SetupFlags,
    #[command(flatten)]
    settings: SettingFlags,
}

impl Contain {
    pub(in crate::cli) fn run(self, context: &Context) -> anyhow::Result<Exit> {
        let loaded = self.settings.load()?;
        let stop = context.interruptible();
        let changes = self.apply || self.restore;
        let setup = self.setup.open(&loaded, context, &stop, changes)?;
        let admin = &setup.organisation.admin;
        let project = &self.project;
        let now = Limits::of(admin, project).hint(
            "`skewer keys list` shows the projects; it takes an admin key that may write limits",
        )?;
        let mut out = context.stdout();
        if self.restore {
            let mut journal = self.setup.journal(&setup.policy)?;
            let outcome = self.told(&setup, context, "restore", Activity::Resume, &now, || {
                restore(&mut journal, admin, project)
            })?;
            writeln!(out, "Project {project} has its limits back:")?;
            show(&mut out, &now, &outcome)?;
            return Ok(Exit::Nothing);
        }
        let journal = self.setup.journal_that_is(&setup.policy)?;
        let contained = journal
            .map(|journal| journal.contained(project))
            .transpose()?;
        let before = contained.flatten();
        writeln!(out, "Containment of project {}", setup.show(project))?;
        show(&mut out, &now, &now.under(Ceiling::default()))?;
        if before.is_some() {
            writeln!(
                out,
                "  It is contained already; what its limits were before is kept."
            )?;
        }
        writeln!(
            out,
            "\nAll keys of the project are slowed, not the leaked one alone. Nothing is deleted.\n\
             `skewer contain {project} --restore` gives the limits back."
        )?;
        if !self.apply {
            writeln!(out, "\nNothing was changed. --apply carries this out.")?;
            return Ok(Exit::Nothing);
        }
        if !self.yes && !agreed(project, context)? {
            writeln!(context.stderr(), "skewer: nothing was changed")?;
            return Ok(Exit::CannotRun);
        }
        let mut journal = self.setup.journal(&setup.policy)?;
        let at = jiff::Timestamp::now().as_second();
        self.told(&setup, context, "contain", Activity::Suspend, &now, || {
            contain(&mut journal, admin, project, Ceiling::default(), at)
        })?;
        writeln!(out, "Project {project} is contained.")?;
        Ok(Exit::Nothing)
    }

    /// Does something, with a line in the trail before it and one after it.
    fn told<T, E: std::error::Error + Send + Sync + 'static>(
        &self,
        setup: &Setup,
        context: &Context,
        step: &str,
        activity: Activity,
        now: &Limits,
        act: impl FnOnce() -> Result<T, E>,
    ) -> anyhow::Result<T> {
        let tell = |outcome, detail: Option<Masked>| {
            let event = Event::Step(Step {
                rotation: self.project.clone(),
                step: step.to_owned(),
                activity,
                entity: Entity {
                    kind: EntityKind::Project,
                    id: setup.show(&self.project),
                    name: None,
                    key: None,
                },
                outcome,
                detail,
                facts: BTreeMap::from([("spend_before".to_owned(), setup.show(&money(now.spend)))]),
            });
            match setup.write(jiff::Timestamp::now(), &event) {
                Ok(()) => Ok(()),
                // To contain is urgent: a trail that is full must not stop it.
                Err(error) => writeln!(
                    context.stderr(),
                    "skewer: the audit trail has a gap: {}",
                    setup.show(&error)
                ),
            }
        };
        tell(Outcome::Intended, None)?;
        let outcome = act();
        match &outcome {
            Ok(_) => tell(Outcome::Success, None)?,
            Err(error) => tell(Outcome::Unknown, Some(setup.show(&error.to_string())))?,
        }
        setup.close(context)?;
        Ok(outcome?)
    }
}

fn money(cents: Option<u64>) -> String {
    match cents {
        Some(cents) => format!("{}.{:02} USD a month", cents / 100, cents % 100),
        None => "none".to_owned(),
    }
}

/// What the limits are, and what they become.
fn show(out: &mut dyn Write, now: &Limits, then: &Limits) -> io::Result<()> {
    writeln!(
        out,
        "  spend limit  {} → {}",
        money(now.spend),
        money(then.spend)
    )?;
    let number = |n: Option<u64>| n.map_or_else(|| "-".to_owned(), |n| n.to_string());
    for (from, to) in now.rates.iter().zip(&then.rates) {
        writeln!(
            out,
            "  {}  {} → {} requests, {} → {} tokens a minute",
            super::show::masked(&from.model),
            number(from.max_requests_per_1_minute),
            number(to.max_requests_per_1_minute),
            number(from.max_tokens_per_1_minute),
            number(to.max_tokens_per_1_minute),
        )?;
    }
    Ok(())
}
