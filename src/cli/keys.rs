//! `skewer keys`: every key that the organisations have.

use std::io::{self, Write};

use anyhow::bail;
use clap::ValueEnum;

use super::asking::ADMIN_KEY;
use super::error::Hint;
use super::settings::SettingFlags;
use super::verifying::{AskFlags, Inventories};
use super::{Context, Exit};
use crate::report::{InventoryForm, write_inventory};
use crate::verdict::Record;

/// Look at the keys of your organisations.
#[derive(clap::Subcommand)]
pub(super) enum Keys {
    List(List),
}

/// List every key: of every project, archived ones too, and the admin keys.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  skewer keys list --unused-for 90d           keys that nobody misses
  skewer keys list --project chat --owner ada@acme.example
  skewer keys list --older-than 1y --format csv > old-keys.csv")]
pub(super) struct List {
    /// Keys of this project only: its id or its name.
    #[arg(long, value_name = "PROJECT")]
    project: Option<String>,
    /// Keys of this owner only: an id, a name or an address.
    #[arg(long, value_name = "OWNER")]
    owner: Option<String>,
    /// Keys that were made before so long: `90d`, `12w`, `1y`, `36h`.
    #[arg(long, value_name = "TIME", value_parser = span)]
    older_than: Option<i64>,
    /// Keys that were not used for so long, or never.
    #[arg(long, value_name = "TIME", value_parser = span)]
    unused_for: Option<i64>,
    /// Ask this organisation only (a name from [profiles]); may be repeated.
    #[arg(long, value_name = "NAME")]
    profile: Vec<String>,
    /// List everything again, whatever is in the cache.
    #[arg(long)]
    fresh: bool,
    /// What it looks like.
    #[arg(long, value_name = "FORMAT", value_enum, default_value_t = Form::Table)]
    format: Form,
    #[command(flatten)]
    settings: SettingFlags,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Form {
    /// Columns, for people
    Table,
    /// One document (schema skewer.keys/1)
    Json,
    /// A row for each key
    Csv,
}

/// Seconds in a span such as `90d`.
fn span(text: &str) -> Result<i64, String> {
    let wrong = || format!("{text:?} is no span of time: write 36h, 90d, 12w or 1y");
    let unit = text.chars().next_back().ok_or_else(wrong)?;
    let number: i64 = text[..text.len() - unit.len_utf8()]
        .parse()
        .map_err(|_| wrong())?;
    let seconds = match unit {
        'h' => 3600,
        'd' => 86_400,
        'w' => 7 * 86_400,
        'y' => 365 * 86_400,
        _ => return Err(wrong()),
    };
    let total = number.checked_mul(seconds).filter(|total| *total >= 0);
    total.ok_or_else(wrong)
}

impl Keys {
    pub(super) fn run(self, context: &Context) -> anyhow::Result<Exit> {
        let Self::List(list) = self;
        list.run(context)
    }
}

impl List {
    fn run(self, context: &Context) -> anyhow::Result<Exit> {
        let loaded = self.settings.load()?;
        let asking = AskFlags::listing(&self.profile, self.fresh);
        let verifying = asking.prepare(&loaded);
        let verifying = verifying.hint(format!(
            "set {ADMIN_KEY}, or name a profile in your configuration"
        ))?;
        let stop = context.interruptible();
        let Inventories {
            listings,
            records,
            now,
        } = verifying.inventories(context, &stop)?;
        let kept: Vec<Record> = records.into_iter().filter(|r| self.keeps(r, now)).collect();
        let form = match self.format {
            Form::Table => InventoryForm::Table,
            Form::Json => InventoryForm::Json,
            Form::Csv => InventoryForm::Csv,
        };
        write_inventory(form, &listings, &kept, &mut io::stdout().lock())?;
        let mut whole = true;
        for listing in &listings {
            if let Some(why) = &listing.incomplete {
                whole = false;
                writeln!(
                    context.stderr(),
                    "skewer: the listing of {} is not whole: {why}",
                    listing.profile
                )?;
            } else if !context.quiet && listing.age >= 5 {
                writeln!(
                    context.stderr(),
                    "skewer: {} as listed {} s ago (--fresh lists again)",
                    listing.profile,
                    listing.age
                )?;
            }
        }
        if listings.is_empty() {
            bail!("there is no organisation to ask");
        }
        Ok(if whole {
            Exit::Nothing
        } else {
            Exit::Incomplete
        })
    }

    fn keeps(&self, record: &Record, now: i64) -> bool {
        let is = |wanted: &str, texts: &[&Option<crate::secret::Masked>]| {
            let same = |text: &&crate::secret::Masked| text.as_bytes() == wanted.as_bytes();
            texts
                .iter()
                .filter_map(|text| text.as_ref())
                .any(|text| same(&text))
        };
        let project = self.project.as_deref();
        let owner = self.owner.as_deref();
        project.is_none_or(|wanted| is(wanted, &[&record.project, &record.project_name]))
            && owner.is_none_or(|wanted| {
                let of = record.owner.as_ref();
                of.is_some_and(|of| is(wanted, &[&of.id, &of.name, &of.email]))
            })
            && self
                .older_than
                .is_none_or(|age| record.created_at.is_some_and(|at| at < now - age))
            && self
                .unused_for
                .is_none_or(|age| record.last_used_at.is_none_or(|at| at < now - age))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_of_time_are_read_or_refused() {
        assert_eq!(span("90d"), Ok(90 * 86_400));
        assert_eq!(span("36h"), Ok(36 * 3600));
        for wrong in ["", "d", "90", "-1d", "9999999999999999d", "1 d", "5é"] {
            assert!(span(wrong).is_err(), "{wrong}");
        }
    }
}
