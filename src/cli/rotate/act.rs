//! Carrying a plan out: the world it works with, what the user sees of it, and how it ends.

use std::cell::RefCell;
use std::io::{self, Read, Write};

use anyhow::Context as _;

use super::setup::Setup;
use super::{plan, show};
use crate::cli::{Context, Exit};
use crate::rotate::{Api, Entry, Halt, Plan, Run, Stopped, World};
use crate::secret::Secret;

/// What is to be carried out with.
pub(in crate::cli) struct Applying {
    pub(super) setup: Setup,
    /// Key B, if its owner handed it over.
    pub(super) handed: Option<Secret>,
}

/// A new rotation, or one that is under way.
pub(super) enum Begin {
    New(Box<Plan>),
    Resume(String),
}

/// Where to go.
pub(super) enum Ending {
    Closed,
    /// To the end, although key A is used.
    Overruled(String),
    Undone(String),
}

/// No key is longer.
const LONGEST_KEY: u64 = 4096;

/// Key B from standard input.
pub(super) fn handed(wanted: bool) -> anyhow::Result<Option<Secret>> {
    if !wanted {
        return Ok(None);
    }
    let mut bytes = Vec::new();
    io::stdin().take(LONGEST_KEY).read_to_end(&mut bytes)?;
    let whole = Secret::new(bytes);
    let value = whole.expose().trim_ascii();
    anyhow::ensure!(!value.is_empty(), "there is no key on standard input");
    Ok(Some(Secret::new(value.to_vec())))
}

pub(super) fn drive(
    mut applying: Applying,
    context: &Context,
    begin: Begin,
    ending: Ending,
) -> anyhow::Result<Exit> {
    let mut journal = std::mem::replace(
        &mut applying.setup.journal,
        crate::rotate::Journal::in_memory()?,
    );
    let setup = &applying.setup;
    let masked = match &begin {
        Begin::New(plan) => plan.key.masked.clone(),
        Begin::Resume(id) => journal.read(id)?.plan.key.masked,
    };
    let key_a = plan::value_of(setup, &masked);
    let api = Api::new(&setup.organisation.admin);
    let trouble = RefCell::new(None);
    let watch = |plan: &Plan, entry: &Entry| {
        if let Err(error) = setup.record(plan, entry) {
            trouble.borrow_mut().get_or_insert(error);
        }
        if !context.quiet {
            // Nobody is left to be told if standard error is gone.
            let _ = show::entry(&mut context.stderr(), entry, |text| setup.show(text));
        }
    };
    let world = World {
        organisation: &api,
        stores: &setup.stores,
        rollouts: &setup.rollouts,
        clock: &setup.clock,
        key_a: key_a.as_ref(),
        handed: applying.handed.as_ref(),
        watch: &watch,
    };
    let run = match begin {
        Begin::New(plan) => Run::begin(*plan, &mut journal, world),
        Begin::Resume(id) => Run::resume(&id, &mut journal, world),
    };
    let mut run = Box::new(run?);
    let outcome = match ending {
        Ending::Closed => run.drive(),
        Ending::Overruled(why) => {
            run.overrule(&setup.who.actor.to_string(), &why)?;
            run.drive()
        }
        Ending::Undone(why) => match run.abort(&why) {
            Ok(()) => Ok(run),
            Err(halt) => Err(Stopped { run, halt }),
        },
    };
    let exit = match outcome {
        Ok(run) => {
            show::ended(&mut context.stderr(), run.plan(), run.memory(), |text| {
                setup.show(text)
            })?;
            match run.memory().aborting.is_some() && run.memory().refused.is_some() {
                true => Exit::Human,
                false => Exit::Nothing,
            }
        }
        Err(Stopped { mut run, halt }) => {
            let id = run.plan().id.clone();
            if run.is_failed_rollout(&halt) {
                writeln!(
                    context.stderr(),
                    "skewer: {}; rolling back",
                    setup.show(&halt.to_string())
                )?;
                run.abort(&halt.to_string()).with_context(|| {
                    format!("can't roll rotation {id} back; `skewer rotate abort {id}` tries again")
                })?;
                show::ended(&mut context.stderr(), run.plan(), run.memory(), |text| {
                    setup.show(text)
                })?;
                return Ok(Exit::Human);
            }
            writeln!(
                context.stderr(),
                "skewer: rotation {id} stands still: {}",
                setup.show(&halt.to_string())
            )?;
            writeln!(
                context.stderr(),
                "        `skewer rotate resume {id}` goes on, `skewer rotate abort {id}` undoes it"
            )?;
            match halt {
                Halt::Interrupted => Exit::Interrupted,
                Halt::Human(_) | Halt::Refused { .. } => Exit::Human,
                Halt::Journal(_) => Exit::CannotRun,
                Halt::Spent { .. } => Exit::Paused,
            }
        }
    };
    if let Some(error) = trouble.into_inner() {
        writeln!(
            context.stderr(),
            "skewer: the audit trail has a gap: {}",
            setup.show(&error)
        )?;
    }
    Ok(exit)
}
