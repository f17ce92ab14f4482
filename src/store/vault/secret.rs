//! What a secret of KV version 2 holds, as the server tells it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::secret::Secret;
use crate::store::rest::Text;
use crate::store::types::Version;

/// A secret, or that there is none.
#[derive(Default, Deserialize)]
pub(super) struct Contents {
    #[serde(default)]
    data: Option<Outer>,
}

#[derive(Deserialize)]
struct Outer {
    /// `null` if the version was deleted.
    #[serde(default)]
    data: Option<BTreeMap<String, Field>>,
    metadata: About,
}

#[derive(Deserialize)]
struct About {
    version: u64,
}

/// A field: a text, which may be a secret, or something else, which is kept as it is.
#[derive(Clone, Deserialize, Serialize)]
#[serde(untagged)]
pub(super) enum Field {
    Text(Text),
    Other(Value),
}

impl Contents {
    /// Its version's number; 0 if it never was.
    pub(super) fn number(&self) -> u64 {
        self.data.as_ref().map_or(0, |data| data.metadata.version)
    }

    /// Its version, if it ever was.
    pub(super) fn version(&self) -> Option<Version> {
        let number = Some(self.number()).filter(|number| *number > 0)?;
        Some(Version::new(number.to_string()))
    }

    /// Whether it has that field.
    pub(super) fn has(&self, name: &str) -> bool {
        self.fields().contains_key(name)
    }

    /// A field that is a text.
    pub(super) fn text(&self, name: &str) -> Option<Secret> {
        match self.fields().get(name)? {
            Field::Text(text) => Some(text.0.clone()),
            Field::Other(_) => None,
        }
    }

    /// Sets a field to a text.
    pub(super) fn set(&mut self, name: &str, value: &Secret) {
        let outer = self.data.get_or_insert(Outer {
            data: None,
            metadata: About { version: 0 },
        });
        let fields = outer.data.get_or_insert_default();
        fields.insert(name.to_owned(), Field::Text(Text(value.clone())));
    }

    /// All fields.
    pub(super) fn fields(&self) -> &BTreeMap<String, Field> {
        static NONE: BTreeMap<String, Field> = BTreeMap::new();
        let fields = self.data.as_ref().and_then(|data| data.data.as_ref());
        fields.unwrap_or(&NONE)
    }
}
