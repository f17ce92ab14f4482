//! What is known of a key: whether it lives, whose it is, what it did since it could be read.

use std::io::{self, Write};

use jiff::Timestamp;

use super::style::Paint;
use crate::report::words::grouped;
use crate::report::{count, human_time};
use crate::secret::Masked;
use crate::verdict::{
    Check, Checks, Exposure, ListingInfo, Match, Record, RecordKind, Spent, Verdict, Witness,
};

/// Events, models and rows beyond this many are counted.
const MOST: usize = 8;

/// All about one key.
pub(super) fn check(out: &mut dyn Write, paint: Paint, check: &Check) -> io::Result<()> {
    let verdict = check.verdict.explain();
    let verdict = match &check.verdict {
        Verdict::Live(_) => paint.bad(verdict).to_string(),
        Verdict::Dead { .. } => paint.good(verdict).to_string(),
        Verdict::Unusable(_) | Verdict::Unknown(_) => paint.warn(verdict).to_string(),
    };
    row(out, paint, "verdict", &verdict)?;
    identity(out, paint, &check.identity)?;
    if let Some(exposure) = &check.exposure {
        self::exposure(out, paint, check, exposure)?;
    }
    Ok(())
}

fn row(out: &mut dyn Write, paint: Paint, name: &str, text: &str) -> io::Result<()> {
    writeln!(out, "  {}  {text}", paint.dim(format_args!("{name:<8}")))
}

fn identity(out: &mut dyn Write, paint: Paint, found: &Match) -> io::Result<()> {
    let text = match found {
        Match::None => "not a key of the organisations that were listed".to_owned(),
        Match::Candidate(_) => {
            "a candidate: its masked form fits, which is no proof (--probe, or --confirm ID)"
                .to_owned()
        }
        Match::Confirmed(confirmed) => format!(
            "confirmed, {}",
            match confirmed.witness() {
                Witness::Headers => "by the answer to the key itself",
                Witness::LastUse => "by its last use, which moved with the probe",
                Witness::Operator => "by you",
            }
        ),
        Match::Ambiguous(_) => {
            let rows = count(found.rows().len() as u64, "record fits", "records fit");
            format!("ambiguous: {rows}, so nothing is to be done to any of them")
        }
        Match::Unknown(unknown) => format!("unknown: {}", unknown.why.detail),
    };
    row(out, paint, "whose", &text)?;
    for record in found.rows().iter().take(MOST) {
        self::record(out, paint, record)?;
    }
    match found.rows().len().saturating_sub(MOST) {
        0 => Ok(()),
        more => row(out, paint, "", &format!("and {more} more")),
    }
}

fn record(out: &mut dyn Write, paint: Paint, record: &Record) -> io::Result<()> {
    let named = |id: Option<&Masked>, name: Option<&Masked>| match (id, name) {
        (Some(id), Some(name)) => format!("{name} ({id})"),
        (Some(one), None) | (None, Some(one)) => one.to_string(),
        (None, None) => "(no name)".to_owned(),
    };
    let kind = match record.kind {
        RecordKind::Project => "key",
        RecordKind::Admin => "admin key",
    };
    let mut text = format!("{kind} {}", named(Some(&record.id), record.name.as_ref()));
    if let Some(project) = &record.project {
        let archived = if record.archived { "archived " } else { "" };
        let project = named(Some(project), record.project_name.as_ref());
        text += &format!(", {archived}project {project}");
    }
    let organisation = record
        .organisation
        .as_ref()
        .map_or_else(|| Masked::vouched(record.profile.as_str()), Masked::clone);
    text += &format!(", organisation {organisation}");
    row(out, paint, "record", &text)?;
    if let Some(owner) = &record.owner {
        let name = owner.email.as_ref().or(owner.name.as_ref());
        let role = owner.role.as_ref().map(|role| format!(", {role}"));
        let kind = owner.kind.to_string().replace('_', " ");
        let text = format!(
            "{kind} {}{}",
            named(owner.id.as_ref(), name),
            role.unwrap_or_default()
        );
        row(out, paint, "owner", &text)?;
    }
    let mut dates = vec![match record.last_used_at {
        Some(at) => format!("last used {}", moment(at)),
        None => "never used, as the API has it".to_owned(),
    }];
    if let Some(at) = record.created_at {
        dates.insert(0, format!("made {}", moment(at)));
    }
    if let Some(at) = record.expires_at {
        dates.push(format!("ends {}", moment(at)));
    }
    if let Some(scopes) = &record.scopes {
        let names: Vec<String> = scopes.iter().map(Masked::to_string).collect();
        dates.push(match names.is_empty() {
            true => "all permissions".to_owned(),
            false => format!("scopes {}", names.join(" ")),
        });
    }
    row(out, paint, "dates", &dates.join("; "))
}

fn exposure(
    out: &mut dyn Write,
    paint: Paint,
    check: &Check,
    exposure: &Exposure,
) -> io::Result<()> {
    let by = check.since.map_or("", |since| since.by);
    let days = (exposure.to - exposure.from).max(0) / 86_400;
    let total = spent(&exposure.total());
    let since = moment(exposure.from);
    let days = count(days as u64, "day", "days");
    row(
        out,
        paint,
        "exposed",
        &format!("{days}, since {since} ({by}): {total}"),
    )?;
    let mut models: std::collections::BTreeMap<&Masked, Spent> = Default::default();
    for (model, used) in exposure.spent.values().flatten() {
        models.entry(model).or_default().add(used);
    }
    for (model, used) in models.iter().take(MOST) {
        row(out, paint, "", &format!("{model}: {}", spent(used)))?;
    }
    if models.len() > MOST {
        row(
            out,
            paint,
            "",
            &format!(
                "and {} more models; JSON has all, by day",
                models.len() - MOST
            ),
        )?;
    }
    if let Some(foreign) = exposure.foreign_models.as_ref().filter(|f| !f.is_empty()) {
        let names: Vec<String> = foreign.iter().map(Masked::to_string).collect();
        let text = format!(
            "models that the project does not allow: {}",
            names.join(", ")
        );
        row(out, paint, "", &paint.bad(text).to_string())?;
    }
    let deeds = exposure.deeds.as_deref().unwrap_or_default();
    for deed in deeds.iter().rev().take(MOST) {
        let actor = deed.actor.as_ref().map(|actor| match deed.by_the_key {
            true => " by this key".to_owned(),
            false => format!(" by {actor}"),
        });
        let from = deed
            .address
            .as_ref()
            .map(|address| format!(" from {address}"));
        let text = format!(
            "{} {}{}{}",
            moment(deed.at),
            deed.kind,
            actor.unwrap_or_default(),
            from.unwrap_or_default()
        );
        row(out, paint, "event", &text)?;
    }
    for gap in &exposure.gaps {
        row(out, paint, "unsure", &gap.to_string())?;
    }
    Ok(())
}

fn spent(spent: &Spent) -> String {
    let mut text = format!(
        "{}, {} tokens in, {} out",
        count(spent.requests, "request", "requests"),
        grouped(spent.input_tokens),
        grouped(spent.output_tokens),
    );
    if !spent.cost.0.is_empty() {
        text += &format!(", {}", spent.cost);
    }
    text
}

/// A time of day in UTC, to the minute.
fn moment(at: i64) -> String {
    Timestamp::from_second(at).map_or_else(
        |_| "at an impossible time".to_owned(),
        |time| time.strftime("%Y-%m-%d %H:%M UTC").to_string(),
    )
}

/// Who was asked, and what is missing.
pub(super) fn summary(out: &mut dyn Write, paint: Paint, checks: &Checks) -> io::Result<()> {
    for listing in &checks.listings {
        asked(out, paint, listing)?;
    }
    for note in &checks.notes {
        writeln!(out, "{}", paint.warn(format_args!("! {note}")))?;
    }
    if checks.keys.is_empty() {
        return Ok(());
    }
    // What was asked for: whether they live, or only whose they are.
    let (done, words): (&str, &[&str]) = match checks.probed {
        true => ("Verified", &["live", "unusable", "dead", "unknown"]),
        false => (
            "Looked up",
            &["confirmed", "candidate", "ambiguous", "none", "unknown"],
        ),
    };
    let word_of = |check: &Check| match checks.probed {
        true => check.verdict.as_str(),
        false => check.identity.as_str(),
    };
    let tally = |word: &&str| {
        let with = checks.keys.values().filter(|check| word_of(check) == *word);
        match with.count() as u64 {
            0 => None,
            n => Some(format!("{} {word}", grouped(n))),
        }
    };
    let told: Vec<String> = words.iter().filter_map(tally).collect();
    let keys = count(checks.keys.len() as u64, "key", "keys");
    writeln!(out, "{done} {keys}: {}.", told.join(", "))?;
    match checks.is_complete() {
        true => Ok(()),
        false => {
            let text = "! Not all that was asked for could be found out.";
            writeln!(out, "{}", paint.warn(text))
        }
    }
}

fn asked(out: &mut dyn Write, paint: Paint, listing: &ListingInfo) -> io::Result<()> {
    let name = match &listing.organisation {
        Some(organisation) => format!("{organisation} (profile {})", listing.profile),
        None => listing.profile.clone(),
    };
    let age = match listing.age {
        0..5 => "listed just now".to_owned(),
        age => format!(
            "as listed {} ago (--fresh lists again)",
            human_time(std::time::Duration::from_secs(age))
        ),
    };
    writeln!(
        out,
        "Asked {name}: {}, {}, {age}.",
        count(listing.projects, "project", "projects"),
        count(listing.keys, "key", "keys"),
    )?;
    match &listing.incomplete {
        Some(why) => {
            let text = format!("! That listing is not whole: {why}");
            writeln!(out, "{}", paint.warn(text))
        }
        None => Ok(()),
    }
}
