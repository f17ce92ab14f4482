//! What is known of keys beyond their bytes, as the machine-readable forms show it: one object for
//! the whole run, with each key once, found by its fingerprint.

use serde::Serialize;

use crate::finding::Finding;
use crate::secret::{Fingerprint, Masked};
use crate::verdict::{
    Check, Checks, Deed, Exposure, ListingInfo, Match, Record, Spent, Unidentified, Witness,
};

#[derive(Serialize)]
pub(super) struct ChecksView<'a> {
    /// Whether each key was used once to find out.
    probed: bool,
    complete: bool,
    organisations: &'a [ListingInfo],
    notes: &'a [Masked],
    keys: Vec<CheckView<'a>>,
}

#[derive(Serialize)]
struct CheckView<'a> {
    fingerprint: Fingerprint,
    verdict: &'static str,
    #[serde(skip_serializing_if = "str::is_empty")]
    detail: &'static str,
    explanation: Masked,
    identity: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    witness: Option<Witness>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'a Masked>,
    records: &'a [Record],
    #[serde(skip_serializing_if = "Option::is_none")]
    exposed_since: Option<SinceView>,
    #[serde(skip_serializing_if = "Option::is_none")]
    exposure: Option<ExposureView<'a>>,
}

#[derive(Serialize)]
struct SinceView {
    at: i64,
    by: &'static str,
}

#[derive(Serialize)]
struct ExposureView<'a> {
    from: i64,
    to: i64,
    total: Spent,
    days: Vec<DayView<'a>>,
    models_not_allowed: &'a Option<Vec<Masked>>,
    events: &'a Option<Vec<Deed>>,
    gaps: &'a [Masked],
}

#[derive(Serialize)]
struct DayView<'a> {
    day: &'a str,
    models: Vec<ModelView<'a>>,
}

#[derive(Serialize)]
struct ModelView<'a> {
    model: &'a Masked,
    #[serde(flatten)]
    spent: &'a Spent,
}

impl<'a> ChecksView<'a> {
    pub(super) fn new(checks: &'a Checks) -> Self {
        let view = |(fingerprint, check): (&Fingerprint, &'a Check)| CheckView {
            fingerprint: *fingerprint,
            verdict: check.verdict.as_str(),
            detail: check.verdict.detail(),
            explanation: check.verdict.explain(),
            identity: check.identity.as_str(),
            witness: match &check.identity {
                Match::Confirmed(confirmed) => Some(confirmed.witness()),
                _ => None,
            },
            reason: match &check.identity {
                Match::Unknown(Unidentified { why, .. }) => Some(&why.detail),
                _ => None,
            },
            records: check.identity.rows(),
            exposed_since: check.since.map(|since| SinceView {
                at: since.at,
                by: since.by,
            }),
            exposure: check.exposure.as_ref().map(exposure),
        };
        Self {
            probed: checks.probed,
            complete: checks.is_complete(),
            organisations: &checks.listings,
            notes: &checks.notes,
            keys: checks.keys.iter().map(view).collect(),
        }
    }
}

fn exposure(exposure: &Exposure) -> ExposureView<'_> {
    ExposureView {
        from: exposure.from,
        to: exposure.to,
        total: exposure.total(),
        days: exposure
            .spent
            .iter()
            .map(|(day, models)| DayView {
                day,
                models: models
                    .iter()
                    .map(|(model, spent)| ModelView { model, spent })
                    .collect(),
            })
            .collect(),
        models_not_allowed: &exposure.foreign_models,
        events: &exposure.deeds,
        gaps: &exposure.gaps,
    }
}

/// The verdict and the identity of a finding's key in a sentence, for forms that have no place of
/// their own for them.
pub(super) fn sentence(checks: Option<&Checks>, finding: &Finding) -> Option<String> {
    let check = checks?.keys.get(&finding.fingerprint)?;
    let identity = match &check.identity {
        Match::None => "not a key of these organisations".to_owned(),
        Match::Candidate(candidate) => format!("candidate record {}", candidate.record().id),
        Match::Confirmed(confirmed) => format!("confirmed record {}", confirmed.record().id),
        Match::Ambiguous(_) => format!("{} records fit", check.identity.rows().len()),
        Match::Unknown(_) => "record unknown".to_owned(),
    };
    Some(format!("{}; {identity}", check.verdict.explain()))
}
