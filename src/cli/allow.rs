//! `skewer allow`: one key, answered for.

use std::io::{self, Write};

use super::baseline::{self, Answer};
use super::error::Hint;
use super::settings::SettingFlags;
use super::{Context, Exit};
use crate::matcher::Matcher;
use crate::rules::Rules;
use crate::secret::Fingerprint;
use crate::suppress::Replaced;

/// Answer for a key, wherever it is found: adds its fingerprint to the baseline.
#[derive(clap::Args)]
#[command(after_help = "\
Example:
  skewer allow 8f434346648f6b96df89dda901c5176b --reason 'revoked on the 30th' --until 2027-01-31")]
pub(super) struct Allow {
    /// The key's fingerprint, as reports print it (never the key itself).
    fingerprint: String,
    #[command(flatten)]
    answer: Answer,
    #[command(flatten)]
    settings: SettingFlags,
}

impl Allow {
    pub(super) fn run(self, context: &Context) -> anyhow::Result<Exit> {
        let print = fingerprint(&self.fingerprint)?;
        let path = self.settings.load()?.settings.baseline.value;
        let entry = self.answer.entry()?;
        let until = entry
            .until
            .map_or_else(String::new, |until| format!(" until {until}"));
        let replaced = baseline::change(&path, |baseline| {
            baseline.allow(print, entry).map_err(anyhow::Error::msg)
        })?;
        if !context.quiet {
            let verb = match replaced {
                Replaced::Yes => "Changed",
                Replaced::No => "Added",
            };
            writeln!(io::stdout(), "{verb}: {print}{until} in {}", path.display())?;
        }
        Ok(Exit::Nothing)
    }
}

/// Reads a fingerprint. What was typed may be a key, so no error repeats it.
fn fingerprint(text: &str) -> anyhow::Result<Fingerprint> {
    let matcher = Matcher::new(&Rules::built_in(), None);
    match matcher.search_all(text.as_bytes()).first() {
        Some(hit) => Err(anyhow::anyhow!(
            "that is a key, not its fingerprint, which is {}",
            hit.fingerprint
        ))
        .hint("the key is in your shell's history now; take it out there"),
        None => text.parse().hint("every finding of a report has one"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::Template;
    use crate::secret::Secret;

    #[test]
    fn a_key_in_place_of_its_fingerprint_is_not_repeated() {
        let key = Template::parse("sk-proj-{long:74,74}").unwrap().fill(4).key;
        let error = format!("{:#}", fingerprint(&key).unwrap_err());
        let print = Secret::new(key.clone().into_bytes()).fingerprint();
        assert!(error.contains(&print.to_string()) && !error.contains(&key[8..30]));
        assert_eq!(fingerprint(&print.to_string()).unwrap(), print);
        let error = format!("{:#}", fingerprint("abc def").unwrap_err());
        assert!(error.contains("32 hexadecimal digits") && !error.contains("abc def"));
    }
}
