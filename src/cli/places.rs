//! `skewer places`: where keys settle, and what of it is on this machine.

use std::io::{self, Write};
use std::path::PathBuf;

use anyhow::Context as _;
use serde::Serialize;

use super::error::Hint;
use super::rules::columns;
use super::{Context, Exit};
use crate::matcher::Matcher;
use crate::rules::{Place, Rules, System};
use crate::source::places::{Bases, There};

/// List the places that `scan --places` reads, and what of them is here.
#[derive(clap::Args)]
pub(super) struct Places {
    /// Places or groups of places; all, if none is named.
    #[arg(value_name = "NAME")]
    names: Vec<String>,
    /// Print them for programs, with their paths and where they are documented.
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Listed<'a> {
    name: &'a str,
    group: &'a str,
    title: &'a str,
    source: &'a str,
    patterns: &'a [String],
    here: Vec<String>,
    unreadable: Vec<String>,
}

/// The places of these names.
pub(super) fn named(names: &[String]) -> anyhow::Result<Vec<Place>> {
    Place::named(System::HERE, names).hint("`skewer places` lists their names and groups")
}

/// What this machine's paths begin with.
pub(super) fn with_bases<T>(use_them: impl FnOnce(&Bases<'_>) -> T) -> anyhow::Result<T> {
    let home = std::env::home_dir().filter(|home| !home.as_os_str().is_empty());
    let home: PathBuf = home
        .context("can't find the home directory")
        .hint("set HOME")?;
    Ok(use_them(&Bases {
        system: System::HERE,
        home,
        variable: &|name| std::env::var_os(name),
    }))
}

impl Places {
    pub(super) fn run(self, _context: &Context) -> anyhow::Result<Exit> {
        let places = named(&self.names)?;
        let found: Vec<There> =
            with_bases(|bases| places.iter().map(|place| bases.find(place)).collect())?;
        // A path may hold a key, too.
        let matcher = Matcher::new(&Rules::built_in(), None);
        let shown = |path: &PathBuf| {
            let path = matcher.redact(path.as_os_str().as_encoded_bytes());
            path.to_string()
        };
        let mut out = io::stdout().lock();
        if self.json {
            let all: Vec<Listed<'_>> = places
                .iter()
                .zip(&found)
                .map(|(place, there)| Listed {
                    name: &place.name,
                    group: &place.group,
                    title: &place.title,
                    source: &place.source,
                    patterns: &place.paths,
                    here: there.paths.iter().map(shown).collect(),
                    unreadable: there.failures.iter().map(|(path, _)| shown(path)).collect(),
                })
                .collect();
            writeln!(out, "{}", serde_json::to_string_pretty(&all)?)?;
            return Ok(Exit::Nothing);
        }
        let mut rows = vec![["PLACE", "GROUP", "HERE", "WHAT"].map(str::to_owned)];
        rows.extend(places.iter().zip(&found).map(|(place, there)| {
            let here = match (there.paths.len(), there.failures.len()) {
                (0, 0) => "-".to_owned(),
                (here, 0) => here.to_string(),
                (here, failed) => format!("{here}, {failed} unreadable"),
            };
            [&place.name, &place.group, &here, &place.title].map(String::clone)
        }));
        out.write_all(columns(&rows).as_bytes())?;
        Ok(Exit::Nothing)
    }
}
