//! Colours. `anstyle` only makes the codes: whether they are wanted is the caller's to know.

use std::fmt::{self, Display};

use anstyle::{AnsiColor, Color, Style};

use crate::finding::Severity;

/// Paints, or doesn't.
#[derive(Clone, Copy)]
pub(super) struct Paint(pub(super) bool);

/// Something with its style.
pub(super) struct Painted<T> {
    style: Style,
    what: T,
}

impl<T: Display> Display for Painted<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}{:#}", self.style, self.what, self.style)
    }
}

const fn fg(color: AnsiColor) -> Style {
    Style::new().fg_color(Some(Color::Ansi(color)))
}

impl Paint {
    fn with<T: Display>(self, style: Style, what: T) -> Painted<T> {
        let style = if self.0 { style } else { Style::new() };
        Painted { style, what }
    }

    pub(super) fn bold<T: Display>(self, what: T) -> Painted<T> {
        self.with(Style::new().bold(), what)
    }

    pub(super) fn dim<T: Display>(self, what: T) -> Painted<T> {
        self.with(Style::new().dimmed(), what)
    }

    /// A path: where to go.
    pub(super) fn place<T: Display>(self, what: T) -> Painted<T> {
        self.with(fg(AnsiColor::Cyan), what)
    }

    /// The masked key, wherever it stands.
    pub(super) fn key<T: Display>(self, what: T) -> Painted<T> {
        self.with(fg(AnsiColor::Yellow).bold(), what)
    }

    pub(super) fn bad<T: Display>(self, what: T) -> Painted<T> {
        self.with(fg(AnsiColor::Red).bold(), what)
    }

    pub(super) fn warn<T: Display>(self, what: T) -> Painted<T> {
        self.with(fg(AnsiColor::Yellow), what)
    }

    pub(super) fn good<T: Display>(self, what: T) -> Painted<T> {
        self.with(fg(AnsiColor::Green), what)
    }

    pub(super) fn severity(self, severity: Severity) -> Painted<String> {
        let style = match severity {
            Severity::Critical => fg(AnsiColor::BrightWhite)
                .bg_color(Some(Color::Ansi(AnsiColor::Red)))
                .bold(),
            Severity::High => fg(AnsiColor::Red).bold(),
            Severity::Medium => fg(AnsiColor::Yellow).bold(),
            Severity::Low => fg(AnsiColor::Blue).bold(),
        };
        let word = severity.as_str().to_uppercase();
        let text = match (severity, self.0) {
            (Severity::Critical, true) => format!(" {word} "),
            _ => word,
        };
        self.with(style, text)
    }
}
