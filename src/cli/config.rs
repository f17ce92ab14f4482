//! `skewer config`: every setting, and where its value comes from.

use std::io::{self, Write};

use serde::Serialize;

use super::settings::SettingFlags;
use super::{Context, Exit};
use crate::config::{Origin, Row};
use crate::matcher::Matcher;
use crate::rules::Rules;

/// Look at the settings of a scan.
#[derive(clap::Args)]
pub(super) struct Config {
    #[command(subcommand)]
    action: Action,
}

#[derive(clap::Subcommand)]
enum Action {
    /// Print every setting's value and where it comes from.
    ///
    /// Flags win over SKEWER_… variables, these over the nearest skewer.toml (from the working
    /// directory upward to the top of the repository), this over your own
    /// $XDG_CONFIG_HOME/skewer/config.toml. Lists add up.
    Show(Show),
}

#[derive(clap::Args)]
struct Show {
    /// Print it for programs.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    settings: SettingFlags,
}

#[derive(Serialize)]
struct Shown<'a> {
    setting: &'a str,
    value: &'a str,
    origin: String,
    about: &'a str,
    takes: &'a str,
    variable: &'a str,
}

impl Config {
    pub(super) fn run(self, _: &Context) -> anyhow::Result<Exit> {
        let Action::Show(show) = self.action;
        let mut rows = show.settings.load()?.settings.rows();
        // A value may hold anything.
        let matcher = Matcher::new(&Rules::built_in(), None);
        for row in &mut rows {
            row.value = matcher.redact(row.value.as_bytes()).to_string();
        }
        let mut out = io::stdout().lock();
        match show.json {
            true => {
                let shown: Vec<_> = rows.iter().map(shown).collect();
                writeln!(out, "{}", serde_json::to_string_pretty(&shown)?)?;
            }
            false => out.write_all(text(&rows).as_bytes())?,
        }
        Ok(Exit::Nothing)
    }
}

fn shown(row: &Row) -> Shown<'_> {
    Shown {
        setting: &row.setting.name,
        value: &row.value,
        origin: row.origin.to_string(),
        about: &row.setting.doc,
        takes: &row.setting.form,
        variable: &row.setting.variable,
    }
}

/// One line a value, in columns.
fn text(rows: &[Row]) -> String {
    let width = |of: &dyn Fn(&Row) -> usize| rows.iter().map(of).max().unwrap_or(0);
    let names = width(&|row| row.setting.name.len());
    let values = width(&|row| row.value.chars().count()).min(48);
    let line = |row: &Row| {
        let origin = match row.origin {
            Origin::Default => format!("default ({})", row.setting.doc.trim_end_matches('.')),
            _ => row.origin.to_string(),
        };
        format!(
            "{:names$}  {:values$}  {origin}\n",
            row.setting.name, row.value
        )
    };
    rows.iter().map(line).collect()
}
