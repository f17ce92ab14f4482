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

/// Answer for a key, wherever it is found, or for something that can't be read: adds it to the
/// baseline.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  skewer allow 8f434346648f6b96df89dda901c5176b --reason 'revoked on the 30th' --until 2027-01-31
  skewer allow --unreadable 'dist/a.zip!b.7z' --sha256 \"$HASH\" --reason 'encrypted by the vendor'")]
pub(super) struct Allow {
    /// The key's fingerprint, as reports print it (never the key itself).
    #[arg(required_unless_present = "unreadable")]
    fingerprint: Option<String>,
    /// Acknowledge that this can't be read: its path, as reports print it.
    #[arg(
        long,
        value_name = "PATH",
        requires = "sha256",
        conflicts_with = "fingerprint"
    )]
    unreadable: Option<String>,
    /// The SHA-256 of its bytes: if they change, it counts again.
    #[arg(long, value_name = "HASH", requires = "unreadable")]
    sha256: Option<String>,
    #[command(flatten)]
    answer: Answer,
    #[command(flatten)]
    settings: SettingFlags,
}

impl Allow {
    pub(super) fn run(self, context: &Context) -> anyhow::Result<Exit> {
        let print = self.fingerprint.as_deref().map(fingerprint).transpose()?;
        let path = self.settings.load()?.settings.baseline.value;
        let entry = self.answer.entry()?;
        let until = entry
            .until
            .map_or_else(String::new, |until| format!(" until {until}"));
        let (what, replaced) = baseline::change(&path, |baseline| {
            let allowed = match (print, self.unreadable, self.sha256) {
                (Some(print), ..) => (print.to_string(), baseline.allow(print, entry)),
                (None, Some(member), Some(sha256)) => {
                    baseline::refuse_keys(&member)?;
                    let done = baseline.acknowledge(member.clone(), &sha256, entry);
                    (member, done)
                }
                _ => anyhow::bail!("name a fingerprint, or a path and its hash"),
            };
            Ok((allowed.0, allowed.1.map_err(anyhow::Error::msg)?))
        })?;
        if !context.quiet {
            let verb = match replaced {
                Replaced::Yes => "Changed",
                Replaced::No => "Added",
            };
            writeln!(io::stdout(), "{verb}: {what}{until} in {}", path.display())?;
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
