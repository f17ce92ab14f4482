//! What history says of a key: who brought it in, what still holds it, what a rewrite would take.

use std::fmt::Display;
use std::io::{self, Write};

use jiff::Timestamp;

use super::style::Paint;
use crate::finding::{Counted, Finding, InHistory, Place, Rewrite};
use crate::report::count;

/// The story of the first of these findings that has one: it is told of the key, not of the place.
pub(super) fn story(out: &mut dyn Write, paint: Paint, findings: &[&Finding]) -> io::Result<()> {
    let object = findings
        .iter()
        .find_map(|finding| match &finding.location.place {
            Place::Object(object) => Some(object),
            _ => None,
        });
    object.map_or(Ok(()), |object| tell(out, paint, object))
}

fn tell(out: &mut dyn Write, paint: Paint, object: &InHistory) -> io::Result<()> {
    let mut row = |name: &str, text: String| {
        writeln!(out, "  {}  {text}", paint.dim(format_args!("{name:<8}")))
    };
    if let Some(first) = &object.first {
        let day = Timestamp::from_second(first.time).map_or_else(
            |_| "an impossible date".to_owned(),
            |time| time.strftime("%Y-%m-%d").to_string(),
        );
        let id = first.id.get(..12).unwrap_or(&first.id);
        row(
            "first in",
            format!("{id} of {day}, by {}: {}", first.author, first.summary),
        )?;
    }
    if object.paths.len() > 1 {
        let paths = object.paths.iter().map(|path| path.shown().to_string());
        row("paths", paths.collect::<Vec<_>>().join(", "))?;
    }
    let objects = count(object.objects, "object", "objects");
    row(
        "in",
        format!(
            "{objects}, {}",
            count(object.commits.count, "commit", "commits")
        ),
    )?;
    let kept: Vec<&str> = object.kept.iter().map(|kept| kept.as_str()).collect();
    if !kept.is_empty() {
        row("kept by", kept.join(", "))?;
    }
    if object.held_by.count > 0 {
        row("still in", names(&object.held_by))?;
    }
    if object.reached_from.count > 0 {
        let Rewrite {
            commits,
            branches,
            tags,
        } = object.rewrite;
        let others = object.reached_from.count.saturating_sub(branches + tags);
        let parts = [
            (commits, "commit", "commits"),
            (branches, "branch", "branches"),
            (tags, "tag", "tags"),
            (others, "other name", "other names"),
        ];
        let parts = parts.iter().filter(|(n, ..)| *n > 0);
        let parts: Vec<_> = parts.map(|(n, one, many)| count(*n, one, many)).collect();
        row(
            "rewrite",
            format!(
                "would change {} ({}); rotate first, copies are not called back",
                parts.join(", "),
                names(&object.reached_from)
            ),
        )?;
    }
    Ok(())
}

/// The first names, and how many more there are.
fn names<T: Display>(all: &Counted<T>) -> String {
    const MOST: usize = 6;
    let named: Vec<String> = all
        .named
        .iter()
        .take(MOST)
        .map(ToString::to_string)
        .collect();
    match all.count.saturating_sub(named.len() as u64) {
        0 => named.join(", "),
        more => format!("{} and {more} more", named.join(", ")),
    }
}
