//! What people see of a rotation.

use std::io::{self, Write};

use crate::matcher::Matcher;
use crate::rotate::{Entry, Expiry, Memory, Phase, Plan, Prepared, Strategy, Summary};
use crate::rules::Rules;
use crate::secret::Masked;

/// A text from the journal.
pub(super) fn masked(text: &str) -> Masked {
    Matcher::new(&Rules::built_in(), None).redact(text.as_bytes())
}

/// A time in seconds since 1970.
pub(super) fn moment(at: i64) -> String {
    jiff::Timestamp::from_second(at).map_or_else(|_| at.to_string(), |time| time.to_string())
}

/// Where a rotation stands, in a word or two.
pub(super) fn standing(plan: &Plan, memory: &Memory) -> &'static str {
    let rolled = plan
        .consumers
        .iter()
        .all(|one| memory.rolled.contains(&one.name));
    match () {
        () if memory.closed && memory.aborting.is_some() => "undone",
        () if memory.closed => "done",
        () if memory.aborting.is_some() => "being undone",
        () if memory.proved => "proved",
        () if memory.revoked && !rolled => "revoked, rolling out",
        () if memory.revoked => "revoked",
        () if memory.quiet || memory.overruled => "quiet",
        () if memory.expiry == Expiry::Set => "validated, key A ends by itself",
        () if memory.validated => "validated",
        () if plan.strategy != Strategy::RevokeOnly && rolled => "rolled out",
        () if !memory.rolled.is_empty() => "canary",
        () if memory.probed => "probed",
        () if !memory.places.is_empty() => "staged",
        () if memory.key_b().is_some() => "created",
        () => "begun",
    }
}

fn list(
    out: &mut dyn Write,
    title: &str,
    lines: &[String],
    show: &dyn Fn(&str) -> Masked,
) -> io::Result<()> {
    if lines.is_empty() {
        return Ok(());
    }
    writeln!(out, "\n{title}:")?;
    for line in lines {
        writeln!(out, "  - {}", show(line))?;
    }
    Ok(())
}

/// The plan.
pub(super) fn plan(
    out: &mut dyn Write,
    prepared: &Prepared,
    show: impl Fn(&str) -> Masked,
) -> io::Result<()> {
    let plan = &prepared.plan;
    let title = match plan.strategy {
        Strategy::Graceful => "Rotation",
        Strategy::Immediate => "Immediate rotation",
        Strategy::RevokeOnly => "Revocation",
    };
    writeln!(
        out,
        "{title} {} of {} ({})",
        plan.id,
        plan.key.id,
        plan.key.shown()
    )?;
    writeln!(out, "  name     {}", show(&plan.key.name))?;
    writeln!(out, "  project  {}", plan.project)?;
    writeln!(
        out,
        "  owner    {}",
        match &plan.key.owner {
            crate::rotate::Owner::ServiceAccount(id) => format!("service account {id}"),
            crate::rotate::Owner::User(id) => format!("user {id}"),
        }
    )?;
    for consumer in &plan.consumers {
        let stage = if consumer.canary { "canary" } else { "rest" };
        writeln!(
            out,
            "  used by  {} ({stage}), from {}",
            consumer.name, consumer.place
        )?;
    }
    writeln!(out, "\nWhat will be done:")?;
    for (number, step) in prepared.steps.iter().enumerate() {
        writeln!(out, "  {:>2}. {}", number + 1, show(step))?;
    }
    list(out, "What can't be undone", &prepared.final_steps, &show)?;
    list(out, "What to know", &prepared.warnings, &show)?;
    list(out, "If a step fails", &prepared.on_failure, &show)?;
    let rights: Vec<String> = prepared
        .rights
        .iter()
        .filter(|(_, rights)| !rights.is_empty())
        .map(|(name, rights)| format!("{name}: {}", rights.join("; ")))
        .collect();
    list(out, "The least rights that it takes", &rights, &show)?;
    writeln!(
        out,
        "\nIt takes at least {} s, and longer where the API makes us wait.",
        prepared.least_seconds
    )
}

/// One entry, as it comes.
pub(in crate::cli) fn entry(
    out: &mut dyn Write,
    entry: &Entry,
    show: impl Fn(&str) -> Masked,
) -> io::Result<()> {
    let what = show(&entry.act.describe());
    match &entry.phase {
        Phase::Intent => writeln!(out, "  … {what}"),
        Phase::Done { fact } => {
            writeln!(out, "  ✓ {what}")?;
            fact.notes
                .iter()
                .try_for_each(|note| writeln!(out, "    note: {}", show(note)))
        }
        Phase::NotDone { why } => writeln!(out, "  ✗ {what}: {}", show(why)),
        Phase::Unsure { why } => writeln!(out, "  ? {what}: {}", show(why)),
    }
}

/// How it ended.
pub(super) fn ended(
    out: &mut dyn Write,
    plan: &Plan,
    memory: &Memory,
    show: impl Fn(&str) -> Masked,
) -> io::Result<()> {
    match (&memory.aborting, plan.strategy) {
        (Some(why), _) => writeln!(
            out,
            "Rotation {} is undone: key A ({}) lives and is leaked. {}",
            plan.id,
            plan.key.id,
            show(why)
        ),
        (None, Strategy::RevokeOnly) => writeln!(out, "Key {} is deleted.", plan.key.id),
        (None, _) => {
            let b = memory.key_b().map_or("?", |made| made.key.as_str());
            writeln!(
                out,
                "Rotation {} is done: {} took the place of {}.",
                plan.id, b, plan.key.id
            )
        }
    }?;
    memory
        .notes
        .iter()
        .try_for_each(|note| writeln!(out, "  note: {}", show(note)))
}

/// Everything about one rotation.
pub(super) fn status(out: &mut dyn Write, summary: &Summary, memory: &Memory) -> io::Result<()> {
    let Summary {
        plan,
        begun,
        entries,
    } = summary;
    let matcher = Matcher::new(&Rules::built_in(), None);
    let show = |text: &str| matcher.redact(text.as_bytes());
    writeln!(out, "Rotation {}: {}", plan.id, standing(plan, memory))?;
    writeln!(
        out,
        "  key A  {} ({}), {}",
        plan.key.id,
        plan.key.shown(),
        show(&plan.key.name)
    )?;
    match memory.key_b() {
        Some(made) => writeln!(out, "  key B  {} ({})", made.key, show(&plan.name))?,
        None => writeln!(out, "  key B  none")?,
    }
    writeln!(out, "  begun  {} by {}", moment(*begun), show(&plan.who))?;
    for one in entries {
        write!(out, "{}", moment(one.at))?;
        entry(out, one, show)?;
    }
    if !memory.closed {
        writeln!(
            out,
            "`skewer rotate resume {0}` goes on, `skewer rotate abort {0}` undoes it",
            plan.id
        )?;
    }
    Ok(())
}
