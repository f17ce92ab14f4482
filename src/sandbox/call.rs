//! A request as the endpoints see it, and the endpoints' own kind of answer.

use std::collections::HashMap;

use serde_json::{Value, json};

use super::fault::What;
use super::pages::{self, Wanted};
use super::refusal::Refusal;
use super::world::World;

/// A request that was let in.
pub(super) struct Call {
    /// What stands in the path's holes.
    pub(super) path: HashMap<String, String>,
    /// The query, in order.
    pub(super) query: Vec<(String, String)>,
    /// The body; null if there was none.
    pub(super) body: Value,
    /// The place of its key in the world's.
    pub(super) key: usize,
}

/// What an endpoint answers.
pub(super) type Answer = Result<Value, Refusal>;

/// The name of a parameter without its brackets, and what stands in them.
pub(super) fn base_name(name: &str) -> (&str, Option<&str>) {
    match name.split_once('[') {
        Some((base, rest)) => (base, rest.strip_suffix(']')),
        None => (name, None),
    }
}

impl Call {
    /// What stands in the path in place of `{name}`.
    pub(super) fn hole(&self, name: &str) -> &str {
        self.path.get(name).map_or("", String::as_str)
    }

    /// A parameter that has one value.
    pub(super) fn one(&self, name: &str) -> Option<&str> {
        let mut all = self.query.iter().filter(|(n, _)| n == name);
        all.next_back().map(|(_, value)| value.as_str())
    }

    /// A parameter that has many: repeated, with brackets or without.
    pub(super) fn many(&self, name: &str) -> Vec<&str> {
        let same = |n: &str| matches!(base_name(n), (base, None | Some("")) if base == name);
        let all = self.query.iter().filter(|(n, _)| same(n));
        all.map(|(_, value)| value.as_str()).collect()
    }

    /// A whole number.
    pub(super) fn number(&self, name: &str) -> Result<Option<i64>, Refusal> {
        let parse = |text: &str| {
            text.parse().map_err(|_| {
                let message = format!(
                    "Invalid type for '{name}': expected an integer, but got {text:?} instead."
                );
                Refusal::bad_parameter(name, "invalid_type", message)
            })
        };
        self.one(name).map(parse).transpose()
    }

    /// `true` or `false`.
    pub(super) fn flag(&self, name: &str) -> Result<bool, Refusal> {
        match self.one(name) {
            None | Some("false") => Ok(false),
            Some("true") => Ok(true),
            Some(text) => Err(Refusal::bad_parameter(
                name,
                "invalid_type",
                format!("Invalid type for '{name}': expected a boolean, but got {text:?} instead."),
            )),
        }
    }

    /// One of `choices`.
    pub(super) fn choice(&self, name: &str, choices: &[&str]) -> Result<Option<&str>, Refusal> {
        match self.one(name) {
            Some(text) if !choices.contains(&text) => Err(Refusal::bad_parameter(
                name,
                "invalid_value",
                format!(
                    "Invalid value: {text:?}. Supported values are: {}.",
                    choices.join(", ")
                ),
            )),
            text => Ok(text),
        }
    }

    /// A field of the body that is text.
    pub(super) fn text(&self, name: &str) -> Result<Option<&str>, Refusal> {
        match self.body.get(name) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(_) => Err(wrong_type(name, "a string")),
        }
    }

    /// The same, and it must be there.
    pub(super) fn required(&self, name: &str) -> Result<&str, Refusal> {
        self.text(name)?
            .filter(|text| !text.is_empty())
            .ok_or_else(|| {
                let message = format!("Missing required parameter: '{name}'.");
                Refusal::bad_parameter(name, "missing_required_parameter", message)
            })
    }

    /// A field of the body that is a whole number.
    pub(super) fn integer(&self, name: &str) -> Result<Option<i64>, Refusal> {
        match self.body.get(name) {
            None | Some(Value::Null) => Ok(None),
            Some(value) => value
                .as_i64()
                .map(Some)
                .ok_or_else(|| wrong_type(name, "an integer")),
        }
    }

    /// A field of the body that is a list of texts.
    pub(super) fn texts(&self, name: &str) -> Result<Option<Vec<String>>, Refusal> {
        let wrong = || wrong_type(name, "an array of strings");
        match self.body.get(name) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::Array(all)) => {
                let texts = all.iter().map(|v| v.as_str().map(str::to_owned));
                texts
                    .collect::<Option<Vec<_>>>()
                    .map(Some)
                    .ok_or_else(wrong)
            }
            Some(_) => Err(wrong()),
        }
    }

    /// Refuses a body that is no object, or has fields that are none of `known`.
    pub(super) fn only(&self, known: &[&str]) -> Result<(), Refusal> {
        let Some(body) = self.body.as_object() else {
            return Err(Refusal::bad(
                "We could not parse the JSON body of your request. The API expects a JSON object.",
            ));
        };
        match body.keys().find(|name| !known.contains(&name.as_str())) {
            Some(name) => Err(Refusal::bad_parameter(
                name,
                "unknown_parameter",
                format!("Unknown parameter: '{name}'."),
            )),
            None => Ok(()),
        }
    }

    /// A page of a listing. `rows` are ids, and whether each is shown.
    pub(super) fn list(
        &self,
        world: &World,
        rows: &[(&str, bool)],
        render: impl Fn(usize) -> Value,
    ) -> Answer {
        let limit = self.number("limit")?.unwrap_or(20);
        if !(1..=100).contains(&limit) {
            let message = format!(
                "Invalid 'limit': integer out of range. Expected a value from 1 to 100, but got {limit} instead."
            );
            return Err(Refusal::bad_parameter(
                "limit",
                "integer_out_of_range",
                message,
            ));
        }
        let stuck = matches!(
            world.page_fault,
            Some(What::RepeatedPage | What::EndlessPages)
        );
        let wanted = Wanted {
            limit: (limit as usize).min(world.settings.page_size.max(1)),
            after: self.one("after").filter(|_| !stuck),
            before: self.one("before").filter(|_| !stuck),
        };
        let cursor = || wanted.after.or(wanted.before).unwrap_or_default();
        let page = pages::page(rows, wanted).ok_or_else(|| Refusal::missing("object", cursor()))?;
        let mut data: Vec<Value> = page.rows.iter().map(|at| render(*at)).collect();
        if world.page_fault == Some(What::EndlessPages) {
            for row in &mut data {
                // Never the same twice: the number of requests so far is a part of it.
                let id = format!(
                    "{}{}",
                    row["id"].as_str().unwrap_or_default(),
                    world.requests.len()
                );
                row["id"] = json!(id);
            }
        }
        let id = |row: Option<&Value>| row.map(|row| row["id"].clone());
        Ok(json!({
            "object": "list",
            "first_id": id(data.first()),
            "last_id": id(data.last()),
            "has_more": page.has_more || stuck,
            "data": data,
        }))
    }
}

fn wrong_type(name: &str, expected: &str) -> Refusal {
    let message = format!("Invalid type for '{name}': expected {expected}.");
    Refusal::bad_parameter(name, "invalid_type", message)
}

/// Milliseconds as the API's seconds.
pub(super) fn seconds(milliseconds: i64) -> i64 {
    milliseconds.div_euclid(1000)
}
