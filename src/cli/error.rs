//! Errors as people see them: what was tried, why it failed, and a hint what to do.

use std::fmt;
use std::io::{self, Write};

use anstyle::AnsiColor;

use super::{Context, Exit};
use crate::matcher::Matcher;
use crate::rules::Rules;

/// An error with a line of advice.
#[derive(Debug)]
pub(super) struct Hinted {
    error: anyhow::Error,
    hint: String,
}

impl fmt::Display for Hinted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.error.fmt(f)
    }
}

impl std::error::Error for Hinted {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.error.source()
    }
}

/// Adds advice to an error.
pub(super) trait Hint<T> {
    /// `hint` says what to do about it, as a sentence without its full stop.
    fn hint(self, hint: impl Into<String>) -> anyhow::Result<T>;
}

impl<T, E: Into<anyhow::Error>> Hint<T> for Result<T, E> {
    fn hint(self, hint: impl Into<String>) -> anyhow::Result<T> {
        self.map_err(|error| {
            Hinted {
                error: error.into(),
                hint: hint.into(),
            }
            .into()
        })
    }
}

/// Prints an error, its causes and its hint, and says how the program ends.
pub(super) fn report(error: &anyhow::Error, context: &Context) -> Exit {
    for cause in error.chain() {
        if let Some(exit) = cause.downcast_ref::<io::Error>().and_then(Exit::from_io) {
            return exit;
        }
    }
    // An error may quote what it stumbled over: a line of a file, an argument.
    let matcher = Matcher::new(&Rules::built_in(), None);
    let text = format!("{error:#}");
    let text: Vec<String> = text
        .lines()
        .map(|line| matcher.redact(line.as_bytes()).to_string())
        .collect();
    let mut out = context.stderr();
    // Nobody is left to be told of an error on standard error.
    let _ = writeln!(
        out,
        "{} {}",
        context.style("error:", AnsiColor::Red.on_default().bold()),
        text.join("\n")
    );
    if let Some(hinted) = error
        .chain()
        .find_map(|cause| cause.downcast_ref::<Hinted>())
    {
        let _ = writeln!(
            out,
            "{} {}",
            context.style("hint:", AnsiColor::Cyan.on_default()),
            hinted.hint
        );
    }
    Exit::CannotRun
}
