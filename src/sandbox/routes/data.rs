//! The data plane: what keys are used for.

use serde_json::{Value, json};

use crate::sandbox::call::{Answer, Call, seconds};
use crate::sandbox::parts::{Owner, Project, Use};
use crate::sandbox::refusal::Refusal;
use crate::sandbox::world::World;

/// A model.
pub(in crate::sandbox) struct Model {
    pub(in crate::sandbox) id: &'static str,
    created: i64,
    /// US dollars for a million tokens in, and out.
    prices: (f64, f64),
}

const fn model(id: &'static str, created: i64, prices: (f64, f64)) -> Model {
    Model {
        id,
        created,
        prices,
    }
}

/// The models that there are.
pub(in crate::sandbox) const MODELS: &[Model] = &[
    model("gpt-5", 1_754_425_777, (1.25, 10.0)),
    model("gpt-5-mini", 1_754_425_928, (0.25, 2.0)),
    model("gpt-4o", 1_715_367_049, (2.5, 10.0)),
    model("gpt-4o-mini", 1_721_172_741, (0.15, 0.6)),
    model("text-embedding-3-small", 1_705_948_997, (0.02, 0.0)),
];

impl Project {
    pub(in crate::sandbox) fn may_use(&self, model: &str) -> bool {
        self.model_permissions
            .as_ref()
            .is_none_or(|p| p.models.iter().any(|m| m == model) == p.allow)
    }
}

impl World {
    /// The project that a key works in: its own, or the default one.
    pub(in crate::sandbox) fn working_project(&self, key: usize) -> Option<&Project> {
        match self.keys[key].project.as_deref() {
            Some(id) => self.project(id),
            None => self
                .projects
                .iter()
                .find(|project| project.archived.is_none()),
        }
    }

    /// What was spent in this month of the calendar, in US dollars.
    pub(in crate::sandbox) fn spent_this_month(&self, project: Option<&str>) -> f64 {
        let month = |at: i64| {
            let day = jiff::Timestamp::from_second(seconds(at))
                .ok()?
                .to_zoned(jiff::tz::TimeZone::UTC);
            Some((day.year(), day.month()))
        };
        let now = month(self.now());
        let ours = self
            .uses
            .iter()
            .rev()
            .filter(|u| project.is_none_or(|id| u.project == id));
        ours.take_while(|u| month(u.at) == now)
            .map(|u| u.cost)
            .sum()
    }

    /// Counts a request to a model.
    pub(in crate::sandbox) fn count(
        &mut self,
        key: usize,
        capability: &'static str,
        model: &Model,
        tokens: (i64, i64),
        at: i64,
    ) {
        let project = self
            .working_project(key)
            .map_or_else(String::new, |p| p.id.clone());
        let (Owner::User(owner) | Owner::ServiceAccount(owner)) = self.keys[key].owner.clone();
        let (input, output) = tokens;
        let (price_in, price_out) = model.prices;
        self.uses.push(Use {
            at,
            key: self.keys[key].id.clone(),
            project,
            owner,
            capability,
            model: model.id.to_owned(),
            input,
            output,
            cost: (input as f64 * price_in + output as f64 * price_out) / 1e6,
        });
    }
}

pub(super) fn models(world: &mut World, call: &Call) -> Answer {
    let project = world.working_project(call.key);
    let usable = MODELS
        .iter()
        .filter(|m| project.is_none_or(|p| p.may_use(m.id)));
    let rows = usable.map(
        |m| json!({"id": m.id, "object": "model", "created": m.created, "owned_by": "system"}),
    );
    Ok(json!({"object": "list", "data": rows.collect::<Vec<Value>>()}))
}

pub(super) fn me(world: &mut World, call: &Call) -> Answer {
    let organisation = &world.organisation;
    let (Owner::User(id) | Owner::ServiceAccount(id)) = &world.keys[call.key].owner;
    let user = world.user(id);
    let name = user
        .map(|user| &user.name)
        .or_else(|| world.service_account(id).map(|a| &a.name));
    Ok(json!({
        "object": "user",
        "id": id,
        "email": user.map(|user| &user.email),
        "name": name,
        "orgs": {"object": "list", "data": [{
            "object": "organization",
            "id": organisation.id,
            "name": organisation.slug,
            "title": organisation.title,
        }]},
    }))
}

/// Lets a request to a model through, or not, and counts it. The model, and the tokens in and out.
fn ask(
    world: &mut World,
    call: &Call,
    capability: &'static str,
    input: &Value,
) -> Result<(&'static Model, i64, i64), Refusal> {
    let wanted = call.required("model")?;
    let project = world
        .working_project(call.key)
        .ok_or_else(Refusal::no_organization)?;
    let model = MODELS
        .iter()
        .find(|m| m.id == wanted && project.may_use(m.id));
    let model = model.ok_or_else(|| Refusal::model_not_found(&project.id, wanted))?;
    let now = world.now();
    let minute = world.uses.iter().rev().take_while(|u| u.at > now - 60_000);
    let minute = minute.filter(|u| u.project == project.id && u.model == model.id);
    let (mut requests, mut tokens) = (0, 0);
    for one in minute {
        requests += 1;
        tokens += one.input + one.output;
    }
    let limit = project
        .rate_limits
        .iter()
        .find(|limit| limit.model == model.id);
    if limit.is_some_and(|limit| requests >= limit.requests || tokens >= limit.tokens) {
        return Err(Refusal::rate_limited(&format!(
            "{} in project {}",
            model.id, project.id
        )));
    }
    let over = |limit: Option<i64>, of| {
        limit.is_some_and(|cents| world.spent_this_month(of) * 100.0 >= cents as f64)
    };
    if over(project.spend_limit, Some(&project.id)) {
        return Err(Refusal::no_money("project_spend_limit_exceeded"));
    }
    if over(world.spend_limit, None) {
        return Err(Refusal::no_money("organization_spend_limit_exceeded"));
    }
    let read = (input.to_string().len() / 4 + 1) as i64;
    let written = if capability == "completions" { 12 } else { 0 };
    world.count(call.key, capability, model, (read, written), now);
    Ok((model, read, written))
}

const WORDS: &str = "This is the sandbox. Nothing was asked of any model.";

pub(super) fn responses(world: &mut World, call: &Call) -> Answer {
    let (model, read, written) = ask(world, call, "completions", &call.body["input"])?;
    let (id, message) = (world.new_id("resp_{hex:48}"), world.new_id("msg_{hex:48}"));
    Ok(json!({
        "id": id,
        "object": "response",
        "created_at": seconds(world.now()),
        "status": "completed",
        "model": model.id,
        "error": null,
        "incomplete_details": null,
        "instructions": null,
        "metadata": {},
        "output": [{
            "id": message,
            "type": "message",
            "role": "assistant",
            "status": "completed",
            "content": [{"type": "output_text", "text": WORDS, "annotations": []}],
        }],
        "parallel_tool_calls": true,
        "temperature": 1.0,
        "tool_choice": "auto",
        "tools": [],
        "top_p": 1.0,
        "usage": {
            "input_tokens": read,
            "input_tokens_details": {"cached_tokens": 0},
            "output_tokens": written,
            "output_tokens_details": {"reasoning_tokens": 0},
            "total_tokens": read + written,
        },
    }))
}

pub(super) fn chat(world: &mut World, call: &Call) -> Answer {
    let (model, read, written) = ask(world, call, "completions", &call.body["messages"])?;
    let id = world.new_id("chatcmpl-{alnum:29}");
    Ok(json!({
        "id": id,
        "object": "chat.completion",
        "created": seconds(world.now()),
        "model": model.id,
        "choices": [{
            "index": 0,
            "message": {"role": "assistant", "content": WORDS, "refusal": null},
            "logprobs": null,
            "finish_reason": "stop",
        }],
        "usage": {"prompt_tokens": read, "completion_tokens": written, "total_tokens": read + written},
    }))
}

pub(super) fn embeddings(world: &mut World, call: &Call) -> Answer {
    let (model, read, _) = ask(world, call, "embeddings", &call.body["input"])?;
    Ok(json!({
        "object": "list",
        "model": model.id,
        "data": [{"object": "embedding", "index": 0, "embedding": [0.0, 1.0]}],
        "usage": {"prompt_tokens": read, "total_tokens": read},
    }))
}
