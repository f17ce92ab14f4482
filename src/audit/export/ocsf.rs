//! OCSF 1.8: Detection Finding (class 2004) for a leak, Entity Management (class 3004) for each
//! step. Facts: the schema of 1.8.0 in PyPI's `ocsf-json-schema`, which `.ci/run` holds our events
//! against.

use serde_json::{Map, Value, json};

use crate::audit::{Activity, EntityKind, Event, Leak, Outcome, Record, Step};
use crate::secret::Masked;

const VERSION: &str = "1.8.0";

pub(super) fn event(record: &Record) -> Value {
    let mut event = match &record.event {
        Event::Leak(leak) => leaked(leak),
        Event::Step(step) => stepped(step),
    };
    let common = json!({
        "time": record.time.as_millisecond(),
        "metadata": {
            "version": VERSION,
            // Who acted, and where, is this profile's part of an event.
            "profiles": ["host"],
            "product": { "name": "skewer", "vendor_name": "skewer", "version": env!("CARGO_PKG_VERSION") },
            "log_name": "skewer.trail",
            "sequence": record.seq,
            "uid": format!("{}-{}", record.seq, &record.prev.to_string()[..16]),
            "original_time": record.time.to_string(),
        },
    });
    extend(&mut event, common);
    let who = &record.who;
    let mut actor = json!({ "app_name": "skewer" });
    if !who.actor.is_empty() {
        extend(&mut actor, json!({ "user": { "name": who.actor.text() } }));
    }
    extend(&mut event, json!({ "actor": actor }));
    if !who.host.is_empty() {
        let device = json!({ "hostname": who.host.text(), "type_id": 0, "type": "Unknown" });
        extend(&mut event, json!({ "device": device }));
    }
    let named = [
        ("job", &who.job),
        ("ticket", &who.ticket),
        ("approver", &who.approver),
    ];
    for (name, text) in named {
        if let Some(text) = text {
            event["unmapped"][name] = text.text().into();
        }
    }
    event
}

fn extend(event: &mut Value, more: Value) {
    if let (Value::Object(event), Value::Object(more)) = (event, more) {
        event.extend(more);
    }
}

fn class(uid: u32, name: &str, category: u32, category_name: &str, activity: (u32, &str)) -> Value {
    json!({
        "class_uid": uid, "class_name": name,
        "category_uid": category, "category_name": category_name,
        "activity_id": activity.0, "activity_name": activity.1,
        "type_uid": uid * 100 + activity.0,
    })
}

fn leaked(leak: &Leak) -> Value {
    let (severity_id, severity) = match leak.severity.as_str() {
        "low" => (2, "Low"),
        "medium" => (3, "Medium"),
        "high" => (4, "High"),
        "critical" => (5, "Critical"),
        _ => (0, "Unknown"),
    };
    let (confidence_id, confidence) = match (&leak.key_id, leak.verdict.as_deref()) {
        (Some(_), _) | (_, Some("live")) => (3, "High"),
        _ => (2, "Medium"),
    };
    let mut event = class(2004, "Detection Finding", 2, "Findings", (1, "Create"));
    let verdict = leak.verdict.as_deref().unwrap_or("not asked");
    extend(
        &mut event,
        json!({
            "severity_id": severity_id, "severity": severity,
            "confidence_id": confidence_id, "confidence": confidence,
            "status_id": 1, "status": "New",
            "is_alert": true,
            "message": format!("key {} leaked in {} ({verdict})", leak.mask, leak.place),
            "finding_info": {
                "uid": leak.key.to_string(),
                "title": format!("Leaked key: {}", leak.rule),
                "types": ["Leaked credential"],
                "analytic": { "type_id": 1, "type": "Rule", "name": leak.rule, "uid": leak.rule },
            },
            "resources": [{
                "uid": leak.key_id.as_deref().unwrap_or(&leak.key.to_string()),
                "name": leak.mask.text(),
                "type": "API key",
                "role_id": 3, "role": "Affected",
            }],
            "unmapped": { "place": leak.place.text(), "verdict": verdict, "fingerprint": leak.key },
        }),
    );
    event
}

fn stepped(step: &Step) -> Value {
    let activity = match step.activity {
        Activity::Create => (1, "Create"),
        Activity::Read => (2, "Read"),
        Activity::Update => (3, "Update"),
        Activity::Delete => (4, "Delete"),
        Activity::Move => (5, "Move"),
        Activity::Enable => (8, "Enable"),
        Activity::Disable => (9, "Disable"),
        Activity::Activate => (10, "Activate"),
        Activity::Deactivate => (11, "Deactivate"),
        Activity::Suspend => (12, "Suspend"),
        Activity::Resume => (13, "Resume"),
        Activity::Other => (99, "Other"),
    };
    let (status_id, status) = match step.outcome {
        Outcome::Success => (1, "Success"),
        Outcome::Failure => (2, "Failure"),
        Outcome::Unknown => (0, "Unknown"),
        Outcome::Intended => (99, "Intended"),
    };
    let (severity_id, severity) = match step.outcome {
        Outcome::Failure | Outcome::Unknown => (3, "Medium"),
        _ => (1, "Informational"),
    };
    let mut entity = json!({
        "uid": step.entity.id.text(),
        "type_id": 99,
        "type": kind(step.entity.kind),
    });
    if let Some(name) = &step.entity.name {
        extend(&mut entity, json!({ "name": name.text() }));
    }
    let mut facts: Map<String, Value> = step
        .facts
        .iter()
        .map(|(name, fact)| (name.clone(), fact.text().into()))
        .collect();
    facts.insert("rotation".to_owned(), step.rotation.clone().into());
    facts.insert("step".to_owned(), step.step.clone().into());
    if let Some(key) = step.entity.key {
        facts.insert("fingerprint".to_owned(), key.to_string().into());
    }
    let mut event = class(
        3004,
        "Entity Management",
        3,
        "Identity & Access Management",
        activity,
    );
    let detail = step.detail.as_ref().map_or("".into(), Masked::text);
    extend(
        &mut event,
        json!({
            "severity_id": severity_id, "severity": severity,
            "status_id": status_id, "status": status,
            "message": format!("rotation {}: {} ({status})", step.rotation, step.step).trim(),
            "entity": entity,
            "unmapped": facts,
        }),
    );
    if !detail.is_empty() {
        extend(&mut event, json!({ "status_detail": detail }));
    }
    event
}

fn kind(kind: EntityKind) -> &'static str {
    match kind {
        EntityKind::ApiKey => "API key",
        EntityKind::Secret => "Stored secret",
        EntityKind::Consumer => "Consumer",
        EntityKind::Project => "Project",
        EntityKind::ServiceAccount => "Service account",
        EntityKind::Rotation => "Rotation",
    }
}
