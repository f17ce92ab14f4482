//! A file that says what organisation to run: TOML, or JSON.
//!
//! ```
//! let script = skewer::sandbox::Script::parse(r#"
//! seed = 7
//! [organisation]
//! projects = 12
//! [settings]
//! generation = "old"
//! per_minute = 7
//! [[faults]]
//! what = "incorrect_api_key"
//! on = "GET /v1/models"
//! from = 60
//! until = 120
//! "#)?;
//! assert_eq!(script.organisation.projects, 12);
//! # Ok::<(), skewer::sandbox::ScriptError>(())
//! ```

use serde::{Deserialize, Serialize};

use super::fault::Fault;
use super::seed::Shape;
use super::settings::Settings;

/// What a script says.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Script {
    /// The same seed makes the same organisation.
    pub seed: Option<u64>,
    /// How large it is.
    pub organisation: Shape,
    /// How it behaves.
    pub settings: Settings,
    /// What goes wrong; times are in seconds since the start.
    pub faults: Vec<Fault>,
}

/// Why a script can't be read.
#[derive(Debug, thiserror::Error)]
pub enum ScriptError {
    /// It is no TOML, or names something that there is not.
    #[error("not a script for the sandbox: {0}")]
    Toml(#[from] toml::de::Error),
    /// The same for JSON.
    #[error("not a script for the sandbox: {0}")]
    Json(#[from] serde_json::Error),
}

impl Script {
    /// Reads a script. What begins with `{` is JSON.
    ///
    /// # Errors
    ///
    /// What is wrong with it, and where.
    pub fn parse(text: &str) -> Result<Self, ScriptError> {
        match text.trim_start().starts_with('{') {
            true => Ok(serde_json::from_str(text)?),
            false => Ok(toml::from_str(text)?),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn toml_and_json_say_the_same() {
        let toml =
            Script::parse("seed = 3\n[settings]\npage_size = 2\n[[faults]]\nwhat = \"reset\"\n")
                .unwrap();
        let json = r#" {"seed": 3, "settings": {"page_size": 2}, "faults": [{"what": "reset"}]}"#;
        assert_eq!(toml, Script::parse(json).unwrap());
        assert_eq!(Script::parse("").unwrap(), Script::default());
    }

    #[test]
    fn typos_are_named() {
        for wrong in [
            "sead = 1",
            "[settings]\npage = 1",
            "[[faults]]\nwhat = \"rest\"",
            "{",
            "[organisation]\nkeys = 1",
        ] {
            assert!(Script::parse(wrong).is_err(), "{wrong}");
        }
    }
}
