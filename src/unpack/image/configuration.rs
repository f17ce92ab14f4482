//! An image's configuration: its environment and its history are named as what they are.

use std::collections::HashSet;

use serde_json::Value;

use crate::unpack::{Body, Members, Step, Stop};

/// Hands out a configuration, which is JSON; what is none is handed out as it is.
pub(super) fn unpack(step: Step<'_>, bytes: &[u8], out: &mut dyn Members) -> Result<(), Stop> {
    let Ok(mut all) = serde_json::from_slice::<Value>(bytes) else {
        return out.member(step, Body::Bytes(bytes));
    };
    let mut seen = HashSet::new();
    for part in ["config", "container_config"] {
        // What builds the image has the same environment as what runs it.
        for variable in take_texts(all.get_mut(part), "Env") {
            if seen.insert(variable.clone()) {
                let name = variable.split('=').next().unwrap_or_default();
                out.text(
                    Step::named("environment", name.as_bytes()),
                    variable.as_bytes(),
                );
            }
        }
    }
    let history = all.get_mut("history").and_then(Value::as_array_mut);
    for (number, entry) in (1..).zip(history.into_iter().flatten()) {
        for part in ["created_by", "comment"] {
            if let Some(Value::String(text)) = entry.get_mut(part).map(Value::take) {
                out.text(Step::numbered("history", number), text.as_bytes());
            }
        }
    }
    out.member(step, Body::Bytes(all.to_string().as_bytes()))
}

/// Takes a list of texts out of an object.
fn take_texts(object: Option<&mut Value>, key: &str) -> Vec<String> {
    let list = object
        .and_then(|object| object.get_mut(key))
        .and_then(Value::as_array_mut);
    let mut texts = Vec::new();
    for value in list.into_iter().flatten() {
        if let Value::String(text) = value {
            texts.push(std::mem::take(text));
        }
    }
    texts
}
