//! Carrying a plan out: the world it works with, what the user sees of it, and how it ends.

use std::cell::RefCell;
use std::io::{self, Read, Write};

use super::setup::Setup;
use super::show;
use crate::cli::{Context, Exit};
use crate::rotate::{Api, Entry, Halt, Journal, Plan, Run, Stopped, World};
use crate::secret::{Masked, Secret};
use crate::verdict::Mask;

/// What is to be carried out with.
pub(super) struct Applying<'a> {
    pub(super) setup: &'a Setup,
    pub(super) journal: Journal,
    /// Key B, if its owner handed it over.
    pub(super) handed: Option<Secret>,
    /// Key A, if it is at hand; else it is looked for in the stores.
    pub(super) key_a: Option<Secret>,
}

/// A new rotation, or one that is under way.
pub(super) enum Begin {
    New(Box<Plan>),
    /// One that nobody asked for, and how many of them a day has.
    Automatic(Box<Plan>, u32),
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

/// A key from standard input.
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

/// Carries it out, and tells what of the trail did not get to the log server, however it ended.
pub(super) fn drive(
    applying: Applying<'_>,
    context: &Context,
    begin: Begin,
    ending: Ending,
) -> anyhow::Result<Exit> {
    let setup = applying.setup;
    let outcome = carry_out(applying, context, begin, ending);
    setup.close(context)?;
    outcome
}

/// What a person hands over as key A has to be it.
pub(super) fn is_key_a(value: &Secret, plan: &Plan) -> anyhow::Result<()> {
    let masked = &plan.key.masked;
    let fits = Mask::parse(masked).is_some_and(|mask| mask.fits(value.expose()));
    let known = plan
        .fingerprint
        .is_none_or(|print| print == value.fingerprint());
    anyhow::ensure!(
        fits && known,
        "what is on standard input is not key A ({})",
        plan.key.shown()
    );
    Ok(())
}

fn carry_out(
    applying: Applying<'_>,
    context: &Context,
    begin: Begin,
    ending: Ending,
) -> anyhow::Result<Exit> {
    let Applying {
        setup,
        mut journal,
        handed,
        key_a,
    } = applying;
    let print = match &begin {
        Begin::New(plan) | Begin::Automatic(plan, _) => plan.fingerprint,
        Begin::Resume(id) => journal.read(id)?.plan.fingerprint,
    };
    let key_a = key_a.or_else(|| setup.find(print?));
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
        handed: handed.as_ref(),
        watch: &watch,
    };
    let run = match begin {
        Begin::New(plan) => Run::begin(*plan, &mut journal, world),
        Begin::Automatic(plan, a_day) => Run::begin_automatic(*plan, &mut journal, world, a_day),
        Begin::Resume(id) => Run::resume(&id, &mut journal, world),
    };
    let mut run = Box::new(run?);
    let asked_to_undo = matches!(ending, Ending::Undone(_));
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
    let outcome = match outcome {
        Err(Stopped { mut run, halt })
            if run.is_still_used(&halt) && setup.policy.revoke_if_others_use =>
        {
            run.overrule("policy", "revoke_if_others_use")?;
            run.drive()
        }
        other => other,
    };
    let outcome = match outcome {
        // Everybody is better off without half of a rotation.
        Err(Stopped { mut run, halt }) if run.is_better_undone(&halt) => {
            let why = halt.to_string();
            if !context.quiet {
                writeln!(context.stderr(), "skewer: {}; undoing it", setup.show(&why))?;
            }
            match run.abort(&why) {
                Ok(()) => Ok(run),
                Err(halt) => Err(Stopped { run, halt }),
            }
        }
        other => other,
    };
    let exit = match outcome {
        Ok(run) => {
            show::ended(&mut context.stderr(), run.plan(), run.memory(), |text| {
                setup.show(text)
            })?;
            match run.memory().aborting.is_some() && !asked_to_undo {
                true => Exit::Human,
                false => Exit::Nothing,
            }
        }
        Err(Stopped { run, halt }) => {
            stands_still(&run, &halt, context, |text| setup.show(text))?;
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

fn stands_still(
    run: &Run<'_>,
    halt: &Halt,
    context: &Context,
    show: impl Fn(&str) -> Masked,
) -> io::Result<()> {
    let id = &run.plan().id;
    let mut err = context.stderr();
    writeln!(
        err,
        "skewer: rotation {id} stands still: {}",
        show(&halt.to_string())
    )?;
    match run.memory().revoked {
        true => writeln!(
            err,
            "        key A is deleted: `skewer rotate resume {id}` goes on"
        ),
        false => writeln!(
            err,
            "        `skewer rotate resume {id}` goes on, `skewer rotate abort {id}` undoes it"
        ),
    }
}
