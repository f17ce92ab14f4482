//! What the program was started in: the terminal, the environment, Ctrl-C.

use std::io::{self, IsTerminal};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anstyle::Style;
use clap::ColorChoice;

/// Read once, at the start; commands take what they need from here.
pub(super) struct Context {
    /// Whether text on standard output has colours.
    pub(super) color: bool,
    /// Whether text on standard error has.
    pub(super) color_err: bool,
    /// Findings and errors only.
    pub(super) quiet: bool,
}

impl Context {
    pub(super) fn new(color: ColorChoice, quiet: bool) -> Self {
        let plain = std::env::var_os("NO_COLOR").is_some_and(|v| !v.is_empty())
            || std::env::var_os("TERM").is_some_and(|term| term == "dumb");
        let wanted = |terminal: bool| match color {
            ColorChoice::Always => true,
            ColorChoice::Never => false,
            ColorChoice::Auto => terminal && !plain,
        };
        Self {
            color: wanted(io::stdout().is_terminal()),
            color_err: wanted(io::stderr().is_terminal()),
            quiet,
        }
    }

    pub(super) fn stdout(&self) -> io::StdoutLock<'static> {
        io::stdout().lock()
    }

    pub(super) fn stderr(&self) -> io::StderrLock<'static> {
        io::stderr().lock()
    }

    /// Text for standard error.
    pub(super) fn style(&self, text: &str, style: Style) -> String {
        match self.color_err {
            true => format!("{style}{text}{style:#}"),
            false => text.to_owned(),
        }
    }

    /// A flag that Ctrl-C sets, so that the run ends soon and its report says so. A second Ctrl-C
    /// ends the program at once.
    pub(super) fn interruptible(&self) -> Arc<AtomicBool> {
        let stop = Arc::new(AtomicBool::new(false));
        let flag = Arc::clone(&stop);
        // Without a handler Ctrl-C ends the program as it always does.
        let _ = ctrlc::set_handler(move || {
            if flag.swap(true, Ordering::Relaxed) {
                #[allow(clippy::exit)] // the user asked twice
                std::process::exit(i32::from(super::Exit::Interrupted.code()));
            }
        });
        stop
    }
}
