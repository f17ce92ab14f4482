//! The keys of organisations as their listings show them: a table for people, JSON and CSV for
//! programs.

use std::io::{self, Write};

use ::csv::{Terminator, WriterBuilder};
use jiff::Timestamp;
use serde::Serialize;

use super::csv::{guarded, said};
use super::wire;
use crate::secret::Masked;
use crate::verdict::{ListingInfo, Record, RecordKind};

/// What an inventory looks like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InventoryForm {
    /// Columns, for people.
    Table,
    /// One document (schema `skewer.keys/1`).
    Json,
    /// A row for each key.
    Csv,
}

const COLUMNS: [&str; 9] = [
    "organisation",
    "project",
    "id",
    "name",
    "owner",
    "made",
    "last used",
    "ends",
    "key",
];

#[derive(Serialize)]
struct Document<'a> {
    schema: &'static str,
    organisations: &'a [ListingInfo],
    keys: &'a [Record],
}

/// Writes the keys and how they were listed.
///
/// # Errors
/// What `out` says.
pub fn write_inventory(
    form: InventoryForm,
    listings: &[ListingInfo],
    keys: &[Record],
    out: &mut dyn Write,
) -> io::Result<()> {
    match form {
        InventoryForm::Json => wire::write_json(
            out,
            &Document {
                schema: "skewer.keys/1",
                organisations: listings,
                keys,
            },
        ),
        InventoryForm::Csv => {
            let mut table = WriterBuilder::new()
                .terminator(Terminator::CRLF)
                .from_writer(out);
            table.write_record(COLUMNS).map_err(said)?;
            for key in keys {
                let cells = cells(key);
                let cells = cells.iter().map(|cell| guarded(cell).into_owned());
                table.write_record(cells).map_err(said)?;
            }
            table.flush()
        }
        InventoryForm::Table => {
            let rows: Vec<_> = keys.iter().map(cells).collect();
            let width = |column: usize| {
                let cells = rows.iter().map(|row| row[column].chars().count());
                cells.chain([COLUMNS[column].len()]).max().unwrap_or(0)
            };
            let widths: Vec<usize> = (0..COLUMNS.len()).map(width).collect();
            let mut line = |row: &[String; COLUMNS.len()]| {
                let cells = row.iter().zip(&widths);
                let text: Vec<String> = cells
                    .map(|(cell, width)| format!("{cell:width$}"))
                    .collect();
                writeln!(out, "{}", text.join("  ").trim_end())
            };
            line(&COLUMNS.map(str::to_owned))?;
            rows.iter().try_for_each(line)
        }
    }
}

fn cells(key: &Record) -> [String; COLUMNS.len()] {
    let some = |text: &Option<Masked>| text.as_ref().map(Masked::to_string).unwrap_or_default();
    let day = |at: Option<i64>, none: &str| {
        let time = at
            .map(|at| Timestamp::from_second(at).map(|time| time.strftime("%Y-%m-%d").to_string()));
        match time {
            Some(Ok(day)) => day,
            Some(Err(_)) => "?".to_owned(),
            None => none.to_owned(),
        }
    };
    let project = match key.kind {
        RecordKind::Admin => "(admin keys)".to_owned(),
        RecordKind::Project => {
            let name = key.project_name.as_ref().or(key.project.as_ref());
            let archived = if key.archived { " (archived)" } else { "" };
            format!(
                "{}{archived}",
                name.map(Masked::to_string).unwrap_or_default()
            )
        }
    };
    let owner = key.owner.as_ref().map(|owner| {
        let name = owner
            .email
            .as_ref()
            .or(owner.name.as_ref())
            .or(owner.id.as_ref());
        let name = name.map(Masked::to_string).unwrap_or_default();
        match owner.kind.as_bytes() {
            b"user" => name,
            _ => format!("{name} ({})", owner.kind.to_string().replace('_', " ")),
        }
    });
    let ends = key.masked.to_string();
    // As many stars as there are hidden characters would fill the line.
    let short = match (ends.find('*'), ends.rfind('*')) {
        (Some(first), Some(last)) => format!("{}…{}", &ends[..first], &ends[last + 1..]),
        _ => ends,
    };
    let organisation = key.organisation.as_ref().map(Masked::to_string);
    [
        organisation.unwrap_or_else(|| key.profile.clone()),
        project,
        key.id.to_string(),
        some(&key.name),
        owner.unwrap_or_default(),
        day(key.created_at, ""),
        day(key.last_used_at, "never"),
        day(key.expires_at, ""),
        short,
    ]
}
