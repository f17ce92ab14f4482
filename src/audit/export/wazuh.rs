//! A flat line for Wazuh: its JSON decoder knows no lists of objects, and rules match best on
//! names of one level. All names begin with `skewer_`, so that they meet no others.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::audit::{Event, Record};
use crate::secret::Masked;

pub(super) fn event(record: &Record) -> BTreeMap<String, Value> {
    let mut out = BTreeMap::new();
    let mut put = |name: &str, value: Value| {
        let shown = !matches!(&value, Value::Null) && value != Value::from("");
        if shown {
            out.insert(format!("skewer_{name}"), value);
        }
    };
    let text = |text: &Masked| Value::from(text.text());
    let maybe = |text: &Option<Masked>| text.as_ref().map_or(Value::Null, |t| t.text().into());
    put("seq", record.seq.into());
    put("time", record.time.to_string().into());
    put("prev", record.prev.to_string().into());
    let who = &record.who;
    put("actor", text(&who.actor));
    put("host", text(&who.host));
    put("job", maybe(&who.job));
    put("ticket", maybe(&who.ticket));
    put("approver", maybe(&who.approver));
    match &record.event {
        Event::Leak(leak) => {
            put("event", "leak".into());
            put("key", leak.key.to_string().into());
            put("mask", text(&leak.mask));
            put("rule", leak.rule.as_str().into());
            put("severity", leak.severity.as_str().into());
            put("place", text(&leak.place));
            put("verdict", leak.verdict.clone().into());
            put("key_id", leak.key_id.clone().into());
        }
        Event::Step(step) => {
            put("event", "step".into());
            put("rotation", step.rotation.as_str().into());
            put("step", step.step.as_str().into());
            put("activity", word(&step.activity));
            put("outcome", word(&step.outcome));
            put("entity", step.entity.kind.name().into());
            put("entity_id", text(&step.entity.id));
            put("entity_name", maybe(&step.entity.name));
            put(
                "key",
                step.entity
                    .key
                    .map_or(Value::Null, |key| key.to_string().into()),
            );
            put("detail", maybe(&step.detail));
            for (name, fact) in &step.facts {
                put(&format!("fact_{name}"), text(fact));
            }
        }
    }
    out
}

/// The word that the trail has for it.
fn word(value: &impl serde::Serialize) -> Value {
    serde_json::to_value(value).unwrap_or_default()
}
