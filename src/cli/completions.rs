//! `skewer completions`: for the shells.

use std::io::{self, Write};

use clap::CommandFactory;
use clap_complete::Shell;

use super::{Arguments, Context, Exit};

/// Print the completions for a shell.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  skewer completions bash > ~/.local/share/bash-completion/completions/skewer
  skewer completions zsh > \"${fpath[1]}/_skewer\"
  skewer completions fish > ~/.config/fish/completions/skewer.fish")]
pub(super) struct Completions {
    /// The shell.
    shell: Shell,
}

impl Completions {
    pub(super) fn run(self, _: &Context) -> anyhow::Result<Exit> {
        // Into memory first: the generator panics if its writer fails.
        let mut text = Vec::new();
        clap_complete::generate(self.shell, &mut Arguments::command(), "skewer", &mut text);
        io::stdout().lock().write_all(&text)?;
        Ok(Exit::Nothing)
    }
}
