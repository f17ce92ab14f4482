//! A rotation's entries as lines of the audit trail.

use std::collections::BTreeMap;

use super::act::{Act, Entry, Phase};
use super::plan::{Plan, Revoking};
use crate::audit::{Activity, Entity, EntityKind, Event, Outcome, Step};
use crate::secret::Masked;

/// The line that says what an entry says. `redact` masks keys in texts that came from outside.
pub fn event(plan: &Plan, entry: &Entry, redact: &dyn Fn(&[u8]) -> Masked) -> Event {
    let (step, activity, entity) = about(plan, &entry.act, redact);
    let (outcome, detail) = match &entry.phase {
        Phase::Intent => (Outcome::Intended, None),
        Phase::Done { .. } => (Outcome::Success, reason(&entry.act)),
        Phase::NotDone { why } => (Outcome::Failure, Some(why.clone())),
        Phase::Unsure { why } => (Outcome::Unknown, Some(why.clone())),
    };
    Event::Step(Step {
        rotation: plan.id.clone(),
        step: step.to_owned(),
        activity,
        entity,
        outcome,
        detail: detail.map(|text| redact(text.as_bytes())),
        facts: facts(entry, redact),
    })
}

/// Why, where a person said it.
fn reason(act: &Act) -> Option<String> {
    match act {
        Act::Abort { why } => Some(why.clone()),
        Act::Overrule { by, why } => Some(format!("{by}: {why}")),
        _ => None,
    }
}

fn about(
    plan: &Plan,
    act: &Act,
    redact: &dyn Fn(&[u8]) -> Masked,
) -> (&'static str, Activity, Entity) {
    let entity = |kind, id: &str| Entity {
        kind,
        id: redact(id.as_bytes()),
        name: None,
        key: None,
    };
    let place = |place: &str| entity(EntityKind::Secret, place);
    let consumer = |name: &str| entity(EntityKind::Consumer, name);
    let rotation = || entity(EntityKind::Rotation, &plan.id);
    let key_a = || Entity {
        name: Some(redact(plan.key.name.as_bytes())),
        key: plan.fingerprint,
        ..entity(EntityKind::ApiKey, &plan.key.id)
    };
    match act {
        Act::Lock { place: of } => ("lock", Activity::Suspend, place(of)),
        Act::Create { name, .. } => ("create", Activity::Create, entity(EntityKind::ApiKey, name)),
        Act::Stage { place: of } => ("stage", Activity::Update, place(of)),
        Act::Probe => ("probe", Activity::Read, rotation()),
        Act::Promote { place: of, .. } => ("promote", Activity::Activate, place(of)),
        Act::RollOut { consumer: of } => ("roll_out", Activity::Update, consumer(of)),
        Act::Validate => ("validate", Activity::Read, rotation()),
        Act::Expire { .. } => ("expire", Activity::Update, key_a()),
        Act::Quiet { .. } => ("quiet", Activity::Read, key_a()),
        Act::Overrule { .. } => ("overrule", Activity::Other, rotation()),
        Act::Revoke => match &plan.revoking {
            Revoking::Key => ("revoke", Activity::Delete, key_a()),
            Revoking::Account(id) => (
                "revoke",
                Activity::Delete,
                Entity {
                    key: plan.fingerprint,
                    ..entity(EntityKind::ServiceAccount, id)
                },
            ),
        },
        Act::Prove => ("prove", Activity::Read, key_a()),
        Act::Abort { .. } => ("abort", Activity::Other, rotation()),
        Act::Restore { place: of, .. } => ("restore", Activity::Activate, place(of)),
        Act::RollBack { consumer: of } => ("roll_back", Activity::Update, consumer(of)),
        Act::Forget { place: of } => ("tidy", Activity::Update, place(of)),
        Act::Remove { name } => ("remove", Activity::Delete, entity(EntityKind::ApiKey, name)),
        Act::Unlock { place: of } => ("unlock", Activity::Resume, place(of)),
        Act::Close => ("close", Activity::Other, rotation()),
    }
}

fn facts(entry: &Entry, redact: &dyn Fn(&[u8]) -> Masked) -> BTreeMap<String, Masked> {
    let mut facts = BTreeMap::new();
    let mut put =
        |name: &str, text: String| drop(facts.insert(name.to_owned(), redact(text.as_bytes())));
    if let Phase::Done { fact } = &entry.phase {
        if let Some(key) = &fact.key {
            put("key", key.clone());
        }
        if let Some(account) = &fact.account {
            put("service_account", account.clone());
        }
        if let Some(print) = fact.fingerprint {
            put("fingerprint", print.to_string());
        }
        if let Some(version) = &fact.version {
            put("version", version.to_string());
        }
        if !fact.notes.is_empty() {
            put("notes", fact.notes.join("; "));
        }
    }
    match &entry.act {
        Act::Create { before, .. } => put("keys_before", before.len().to_string()),
        Act::Promote { over, .. } | Act::Restore { over, .. } => put("over", over.to_string()),
        Act::Expire { seconds } => put("seconds", seconds.to_string()),
        Act::Quiet { since, last_used } => {
            put("since", since.to_string());
            if let Some(last) = last_used {
                put("last_used", last.to_string());
            }
        }
        _ => {}
    }
    facts
}
