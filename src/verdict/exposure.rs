//! What a key did since it could be read by strangers.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::secret::Masked;

/// Since when a key is exposed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Since {
    /// In seconds since 1970.
    pub at: i64,
    /// What says so: `first commit`, `file`.
    pub by: &'static str,
}

/// What the organisation's own books say of a key. They lag, nobody says by how much.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Exposure {
    /// The first second that was asked about.
    pub from: i64,
    /// When it was asked.
    pub to: i64,
    /// Usage, by day (`2026-10-15`, UTC), then by model.
    pub spent: BTreeMap<String, BTreeMap<Masked, Spent>>,
    /// Models that the project doesn't allow; `None` if nobody knows which it allows.
    pub foreign_models: Option<Vec<Masked>>,
    /// What the audit log tells, the oldest first; `None` if it could not be read.
    pub deeds: Option<Vec<Deed>>,
    /// What is not known, and why: empty answers, lag, what was refused.
    pub gaps: Vec<Masked>,
}

/// What was used of a model on a day.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Spent {
    /// Requests.
    pub requests: u64,
    /// Tokens sent.
    pub input_tokens: u64,
    /// Tokens received.
    pub output_tokens: u64,
    /// What it cost, where the bill tells models apart.
    pub cost: Money,
}

/// An amount, by currency.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(transparent)]
pub struct Money(pub BTreeMap<String, f64>);

impl Money {
    /// Adds to it.
    pub fn add(&mut self, amount: f64, currency: &str) {
        *self.0.entry(currency.to_lowercase()).or_default() += amount;
    }
}

impl std::fmt::Display for Money {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let each: Vec<String> = self
            .0
            .iter()
            .map(|(currency, amount)| {
                format!("{amount:.2} {}", Masked::vouched(currency.to_uppercase()))
            })
            .collect();
        f.write_str(&each.join(" + "))
    }
}

/// An event of the audit log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Deed {
    /// When, in seconds since 1970.
    pub at: i64,
    /// What, such as `api_key.created`.
    pub kind: Masked,
    /// Whether the key did it, and not suffered it.
    pub by_the_key: bool,
    /// Who did it, as far as the log tells.
    pub actor: Option<Masked>,
    /// From which network address.
    pub address: Option<Masked>,
}

impl Spent {
    /// Adds to it.
    pub fn add(&mut self, other: &Self) {
        self.requests += other.requests;
        self.input_tokens += other.input_tokens;
        self.output_tokens += other.output_tokens;
        for (currency, amount) in &other.cost.0 {
            self.cost.add(*amount, currency);
        }
    }
}

impl Exposure {
    /// All that was used in the window.
    pub fn total(&self) -> Spent {
        let mut total = Spent::default();
        let each = self.spent.values().flat_map(BTreeMap::values);
        each.for_each(|spent| total.add(spent));
        total
    }
}
