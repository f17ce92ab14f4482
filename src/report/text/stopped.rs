//! What a developer sees when a hook stops a commit or a push: which key, where, and what to do
//! next in three lines. Nothing if nothing is wrong.

use std::io::{self, Write};

use super::{Stopped, by_key, key, style::Paint, summary};
use crate::finding::{Finding, Status};
use crate::report::view::Totals;
use crate::report::{Run, count, ordered};

/// Keys beyond this many are counted: the way out is the same for all.
const MOST_KEYS: usize = 10;

/// Places of one key beyond this many are counted.
const MOST_PLACES: usize = 3;

pub(super) fn write(
    out: &mut dyn Write,
    paint: Paint,
    run: &Run<'_>,
    stopped: Stopped,
) -> io::Result<()> {
    let totals = Totals::of(run.findings);
    let findings = ordered(run.findings);
    let notes = findings.iter().filter(|f| f.status == Status::Before);
    let keys = totals.keys.len() as u64;
    if keys > 0 {
        let keys_told = count(keys, "key", "keys");
        // `SKEWER_SKIP` and `--exit-zero` let a key pass, but not unseen.
        let text = match run.exit_code {
            0 => format!("! Let through with {keys_told}."),
            _ => format!("✗ {} {keys_told}.", stopped.headline()),
        };
        writeln!(out, "{}\n", paint.bad(text))?;
        for group in by_key(&findings).iter().take(MOST_KEYS) {
            one(out, paint, group)?;
        }
        if let more @ 1.. = keys.saturating_sub(MOST_KEYS as u64) {
            writeln!(out, "and {}\n", count(more, "more key", "more keys"))?;
        }
        let name = match totals.keys.first_key_value() {
            Some((only, _)) if keys == 1 => only.to_string(),
            _ => "FINGERPRINT".to_owned(),
        };
        for (number, step) in stopped.steps(&name).into_iter().enumerate() {
            writeln!(
                out,
                "  {} {step}",
                paint.good(format_args!("{}.", number + 1))
            )?;
        }
        if !run.coverage.is_complete() {
            writeln!(out)?;
        }
    } else if run.exit_code != 0 && !run.coverage.is_complete() {
        let text = format!("✗ {} what could not be read.", stopped.headline());
        writeln!(out, "{}", paint.bad(text))?;
    } else if let note @ 1.. = notes.count() as u64 {
        let places = count(note, "place", "places");
        let text = "held a key before this change; `skewer scan` shows them.";
        writeln!(out, "{} {places} {text}", paint.warn("skewer:"))?;
    }
    summary::failed(out, paint, run.coverage)?;
    if run.coverage.interrupted {
        let text = "! Stopped before the end: there may be more.";
        writeln!(out, "{}", paint.bad(text))?;
    }
    Ok(())
}

fn one(out: &mut dyn Write, paint: Paint, group: &[&Finding]) -> io::Result<()> {
    key::headline(out, paint, group[0])?;
    key::places(out, paint, group, MOST_PLACES)?;
    writeln!(
        out,
        "  {}\n",
        paint.dim(format_args!("fingerprint {}", group[0].fingerprint))
    )
}
