//! `skewer man`: the manual pages.

use std::io::{self, Write};
use std::path::PathBuf;

use anyhow::Context as _;
use clap::CommandFactory;

use super::{Arguments, Context, Exit};

/// Print the manual page, or write a page for each command.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  skewer man | man -l -
  skewer man ~/.local/share/man/man1")]
pub(super) struct Man {
    /// Write a page for each command into this directory.
    directory: Option<PathBuf>,
}

impl Man {
    pub(super) fn run(self, _: &Context) -> anyhow::Result<Exit> {
        let command = Arguments::command();
        match self.directory {
            Some(directory) => {
                let wrong = || format!("can't write manual pages to {}", directory.display());
                std::fs::create_dir_all(&directory).with_context(wrong)?;
                clap_mangen::generate_to(command, &directory).with_context(wrong)?;
            }
            None => {
                let mut text = Vec::new();
                clap_mangen::Man::new(command).render(&mut text)?;
                io::stdout().lock().write_all(&text)?;
            }
        }
        Ok(Exit::Nothing)
    }
}
