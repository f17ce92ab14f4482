//! A secret's text: the value itself, or a JSON object of which one field is the value. The rest of
//! the object stays byte for byte.

use serde::Deserialize;

use super::StoreError;
use super::file::{json, rewrite};
use crate::secret::Secret;

/// Which part of the text is the value.
#[derive(Clone, Default, Deserialize)]
#[serde(untagged)]
pub(super) enum Field {
    /// All of it.
    #[default]
    Whole,
    /// A field of the object.
    Name(String),
    /// The names on the way to it.
    Path(Vec<String>),
}

/// Reads and writes values in texts of a place.
pub(super) struct Document {
    path: Vec<String>,
}

impl Document {
    pub(super) fn new(field: Field) -> Self {
        let path = match field {
            Field::Whole => Vec::new(),
            Field::Name(name) => vec![name],
            Field::Path(path) => path,
        };
        Self { path }
    }

    /// Whether the value is all of the text.
    pub(super) fn is_whole(&self) -> bool {
        self.path.is_empty()
    }

    /// How people call the value in a place: `, field` or nothing.
    pub(super) fn suffix(&self) -> String {
        match self.path.is_empty() {
            true => String::new(),
            false => format!(", {}", self.path.join(".")),
        }
    }

    /// The value in a text.
    pub(super) fn value(&self, place: &str, text: &Secret) -> Result<Secret, StoreError> {
        if self.path.is_empty() {
            return Ok(text.clone());
        }
        let found = json::find(text.expose(), &self.path);
        found
            .map(|found| found.value)
            .map_err(|problem| problem.told(place, "the secret"))
    }

    /// The text with this value in the place of the one that is there.
    pub(super) fn with(
        &self,
        place: &str,
        text: &Secret,
        value: &Secret,
    ) -> Result<Secret, StoreError> {
        if self.path.is_empty() {
            return Ok(value.clone());
        }
        let new = rewrite(json::find, &self.path, text.expose(), value);
        new.map(Secret::new)
            .map_err(|problem| problem.told(place, "the secret"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rest_of_the_object_stays() {
        let text = Secret::new(b"{ \"a\" : 1.0,\n\t\"k\": {\"v\" :\"one\"} }\n".to_vec());
        let path = ["k", "v"].map(str::to_owned).to_vec();
        let document = Document::new(Field::Path(path));
        assert_eq!(document.suffix(), ", k.v");
        assert_eq!(document.value("p", &text).unwrap().expose(), b"one");
        let two = Secret::new(b"t\"wo".to_vec());
        let new = document.with("p", &text, &two).unwrap();
        assert_eq!(
            new.expose(),
            b"{ \"a\" : 1.0,\n\t\"k\": {\"v\" :\"t\\\"wo\"} }\n"
        );
        let other = Document::new(Field::Name("x".to_owned()));
        let absent = other.value("p", &text);
        assert!(matches!(absent, Err(StoreError::NotFound { .. })));
        let bare = other.value("p", &two).unwrap_err().to_string();
        assert!(bare.contains("the secret: it is no JSON"), "{bare}");
    }
}
