//! What only the user's own configuration may say, or one that was named with `--config`: where
//! requests go, by whose key, and what is run to get that key. A file that comes with a repository
//! must not choose where an admin key goes, so there each of these tables is an error.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::Deserialize;

use super::file::File;
use super::{ConfigError, Credential, Origin};

/// The tables, and what each would let a repository do.
pub(super) const SECTIONS: &[(&str, &str)] = &[
    ("network", "choose a proxy, or whom to trust"),
    ("openai", "choose where keys are sent"),
    ("stores", "choose where a new key is written"),
    (
        "consumers",
        "choose what is restarted, and by which program",
    ),
    ("audit", "choose where the trail goes"),
    ("policy", "choose what is deleted, and when"),
    (
        "profiles",
        "choose admin keys, and commands that print them",
    ),
];

/// All of them.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct Private {
    /// How servers are reached.
    pub network: Network,
    /// How OpenAI's API is dealt with.
    pub openai: OpenAi,
    /// Organisations, by the user's names for them.
    pub profiles: BTreeMap<String, Profile>,
}

/// How servers are reached.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Network {
    /// A proxy, such as `http://proxy.corp:3128`; otherwise `HTTPS_PROXY` or `ALL_PROXY` says.
    pub proxy: Option<String>,
    /// Hosts that are reached without it, as in `NO_PROXY`.
    pub no_proxy: Option<String>,
    /// A PEM file of certificates to trust besides the system's.
    pub ca_file: Option<PathBuf>,
    /// How long a connection may take to be made, in seconds.
    pub connect_seconds: u64,
    /// How long an answer may take, in seconds.
    pub answer_seconds: u64,
}

impl Default for Network {
    fn default() -> Self {
        Self {
            proxy: None,
            no_proxy: None,
            ca_file: None,
            connect_seconds: 10,
            answer_seconds: 60,
        }
    }
}

/// How OpenAI's API is dealt with. Where nobody documents a number, it is a setting.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct OpenAi {
    /// The base address; https, but for loopback.
    pub api: Option<String>,
    /// Requests to one endpoint of the Admin API within a minute; 0 is no limit.
    pub requests_per_minute: u32,
    /// Probes within a minute; 0 is no limit.
    pub probes_per_minute: u32,
    /// How old a cached listing may be, in minutes; 0 keeps none.
    pub cache_minutes: u64,
    /// So many refusals prove that a key is dead.
    pub dead_answers: u32,
    /// The time between them, in seconds.
    pub dead_pause_seconds: u64,
    /// How long `last_used_at` may take to move, in seconds; 0: it is no witness.
    pub last_used_lag_seconds: u64,
    /// How long usage may take to show, in minutes: what reports say of it.
    pub usage_lag_minutes: u64,
    /// How far back usage is asked for, in days.
    pub window_days: u64,
    /// A key that is known to live: if it is refused, too, no other is called dead.
    pub control_key: Option<Credential>,
}

impl Default for OpenAi {
    fn default() -> Self {
        Self {
            api: None,
            requests_per_minute: 7,
            probes_per_minute: 60,
            cache_minutes: 60,
            dead_answers: 3,
            dead_pause_seconds: 10,
            last_used_lag_seconds: 120,
            usage_lag_minutes: 30,
            window_days: 90,
            control_key: None,
        }
    }
}

/// An organisation.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Profile {
    /// Where its admin key comes from.
    pub admin_key: Credential,
}

impl Private {
    /// Reads the tables of a trusted file; what else stands there is `Settings`' to read.
    ///
    /// # Errors
    /// A table, or a name in one, that can't be used, with its line.
    pub fn parse(file: &File) -> Result<Self, ConfigError> {
        let mut all: Self = toml::from_str(&file.text).map_err(|error| {
            let start = error.span().map_or(0, |span| span.start);
            let before = &file.text.as_bytes()[..start.min(file.text.len())];
            ConfigError::Invalid {
                origin: Origin::File {
                    path: file.name.clone(),
                    line: before.iter().filter(|b| **b == b'\n').count() as u64 + 1,
                },
                problem: error.message().to_owned(),
            }
        })?;
        all.resolve(file);
        Ok(all)
    }

    /// Relative paths are relative to the file that names them.
    fn resolve(&mut self, file: &File) {
        let at = |path: &mut PathBuf| *path = file.base.join(&path);
        self.network.ca_file.iter_mut().for_each(at);
        let sources = self
            .profiles
            .values_mut()
            .map(|profile| &mut profile.admin_key);
        for source in sources.chain(self.openai.control_key.as_mut()) {
            if let Credential::File(path) = source {
                at(path);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(text: &str) -> File {
        File {
            name: "config.toml".to_owned(),
            base: PathBuf::from("/home/u/.config/skewer"),
            text: text.to_owned(),
            trusted: true,
        }
    }

    #[test]
    fn the_tables_are_read_beside_other_settings() {
        let text = "threads = 2\n[network]\nca-file = 'corp.pem'\n[openai]\nrequests-per-minute = 5\ncontrol-key = { file = 'c' }\n[profiles.acme]\nadmin-key = { command = ['op', 'read', 'x'] }\n[profiles.b]\nadmin-key = { env = 'B' }\n[profiles.c]\nadmin-key = { keyring = 'k' }\n";
        let read = Private::parse(&file(text)).unwrap();
        let home = PathBuf::from("/home/u/.config/skewer");
        assert_eq!(read.network.ca_file, Some(home.join("corp.pem")));
        assert_eq!(read.openai.requests_per_minute, 5);
        assert_eq!(read.openai.dead_answers, 3);
        assert_eq!(
            read.openai.control_key,
            Some(Credential::File(home.join("c")))
        );
        assert_eq!(read.profiles.len(), 3);
        assert_eq!(
            Private::parse(&file("threads = 2")).unwrap(),
            Private::default()
        );
    }

    #[test]
    fn mistakes_are_named_with_their_line() {
        for (text, line, word) in [
            ("[network]\nproxi = 'x'", ":2", "unknown field `proxi`"),
            (
                "\n[openai]\nrequests-per-minute = 'x'",
                ":3",
                "invalid type",
            ),
            ("[profiles.a]\nadmin-key = 'literal'", ":2", "literal"),
            (
                "[profiles.a]\nadmin-key = { value = 'x' }",
                ":2",
                "unknown variant `value`",
            ),
        ] {
            let said = Private::parse(&file(text)).unwrap_err().to_string();
            assert!(
                said.starts_with(&format!("config.toml{line}")) && said.contains(word),
                "{said}"
            );
        }
    }
}
