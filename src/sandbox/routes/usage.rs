//! What the models were asked, by time and by whatever the client groups by.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::sandbox::call::{Answer, Call, seconds};
use crate::sandbox::fault::What;
use crate::sandbox::parts::Use;
use crate::sandbox::refusal::Refusal;
use crate::sandbox::world::World;

pub(super) const QUERY: &[&str] = &[
    "start_time",
    "end_time",
    "bucket_width",
    "project_ids",
    "user_ids",
    "api_key_ids",
    "models",
    "batch",
    "vector_store_ids",
    "sources",
    "sizes",
    "context_levels",
    "group_by",
    "limit",
    "page",
];

/// The endpoints, and what each calls its results.
const CAPABILITIES: &[(&str, &str)] = &[
    ("completions", "completions"),
    ("embeddings", "embeddings"),
    ("moderations", "moderations"),
    ("images", "images"),
    ("audio_speeches", "audio_speeches"),
    ("audio_transcriptions", "audio_transcriptions"),
    ("vector_stores", "vector_stores"),
    ("code_interpreter_sessions", "code_interpreter_sessions"),
    ("file_search_calls", "file_searches"),
    ("web_search_calls", "web_searches"),
];

/// How the pages of an endpoint are cut.
pub(super) struct Widths {
    /// Names of widths, their seconds, the default and the largest number of buckets on a page.
    pub(super) widths: &'static [(&'static str, i64, i64, i64)],
    pub(super) default: &'static str,
}

const USAGE: Widths = Widths {
    widths: &[
        ("1m", 60, 60, 1440),
        ("1h", 3600, 24, 168),
        ("1d", 86_400, 7, 31),
    ],
    default: "1d",
};

/// What a use is grouped under: the values of the fields that the client named.
type Group<'a> = Vec<Option<&'a str>>;

/// A page of buckets. `render` makes a result of a group and its uses; `grouped` are the fields that
/// may be grouped by.
pub(super) fn buckets(
    world: &World,
    call: &Call,
    cut: &Widths,
    grouped: &[&'static str],
    meant: impl Fn(&Use) -> bool,
    render: impl Fn(&[&Use]) -> Value,
) -> Answer {
    let names: Vec<&str> = cut.widths.iter().map(|width| width.0).collect();
    let name = call.choice("bucket_width", &names)?.unwrap_or(cut.default);
    let width = cut.widths.iter().find(|width| width.0 == name);
    let (_, width, default, most) = *width.expect("the name is one of these");
    let start = call.number("start_time")?.ok_or_else(|| {
        Refusal::bad_parameter(
            "start_time",
            "missing_required_parameter",
            "Missing required parameter: 'start_time'.",
        )
    })?;
    // Without an end, the second that has just begun is still a part of it.
    let end = call
        .number("end_time")?
        .unwrap_or_else(|| seconds(world.now()) + 1);
    let limit = call.number("limit")?.unwrap_or(default);
    if !(1..=most).contains(&limit) {
        let message =
            format!("Invalid 'limit': expected a value from 1 to {most} for this bucket width.");
        return Err(Refusal::bad_parameter(
            "limit",
            "integer_out_of_range",
            message,
        ));
    }
    let group_by = call.many("group_by");
    if let Some(unknown) = group_by.iter().find(|name| !grouped.contains(name)) {
        let message = format!(
            "Invalid value: '{unknown}'. Supported values are: {}.",
            grouped.join(", ")
        );
        return Err(Refusal::bad_parameter("group_by", "invalid_value", message));
    }
    let stuck = matches!(
        world.page_fault,
        Some(What::RepeatedPage | What::EndlessPages)
    );
    let from = match call.one("page").filter(|_| !stuck) {
        None => start,
        Some(page) => {
            let from = page
                .strip_prefix("page_")
                .and_then(|at| i64::from_str_radix(at, 16).ok());
            from.filter(|from| (start..end).contains(from))
                .ok_or_else(|| Refusal::bad_parameter("page", "invalid_value", "Invalid 'page'."))?
        }
    };
    let mut at = from.div_euclid(width).saturating_mul(width);
    let stop = end.min(at.saturating_add(limit.saturating_mul(width)));
    let chosen = chosen(world, call, |u| {
        (at..stop).contains(&seconds(u.at)) && meant(u)
    });
    let mut data = Vec::new();
    while at < stop {
        let next = at.saturating_add(width);
        let inside = chosen.iter().copied();
        let inside = inside.filter(|u| (at..next).contains(&seconds(u.at)));
        data.push(json!({
            "object": "bucket",
            "start_time": at,
            "end_time": next,
            "results": results(inside, &group_by, &render),
        }));
        at = next;
    }
    let has_more = at < end || stuck;
    Ok(json!({
        "object": "page",
        "data": data,
        "has_more": has_more,
        "next_page": has_more.then(|| format!("page_{at:x}")),
    }))
}

/// The uses that the client means, as far as they are known yet.
fn chosen<'a>(world: &'a World, call: &Call, meant: impl Fn(&Use) -> bool) -> Vec<&'a Use> {
    let [projects, users, keys, models, items] = [
        "project_ids",
        "user_ids",
        "api_key_ids",
        "models",
        "line_items",
    ]
    .map(|name| call.many(name));
    let any = |wanted: &[&str], has: &str| wanted.is_empty() || wanted.contains(&has);
    let known = world.now().saturating_sub(world.settings.usage_lag_ms);
    let fits = |u: &&Use| {
        u.at <= known
            && meant(u)
            && any(&projects, &u.project)
            && any(&users, &u.owner)
            && any(&keys, &u.key)
            && any(&models, &u.model)
            && any(&items, &u.model)
    };
    world.uses.iter().filter(fits).collect()
}

fn results<'a>(
    uses: impl Iterator<Item = &'a Use>,
    group_by: &[&str],
    render: impl Fn(&[&Use]) -> Value,
) -> Vec<Value> {
    let mut groups: BTreeMap<Group<'_>, Vec<&Use>> = BTreeMap::new();
    for one in uses {
        let group = group_by.iter().map(|name| field(one, name)).collect();
        groups.entry(group).or_default().push(one);
    }
    let result = |(group, uses): (Group<'_>, Vec<&Use>)| {
        let mut result = render(&uses);
        for (name, value) in group_by.iter().zip(group) {
            // A request of a batch, and one of another tier, does not exist here.
            result[*name] = match *name {
                "batch" => json!(false),
                "service_tier" => json!("default"),
                _ => json!(value),
            };
        }
        result
    };
    groups.into_iter().map(result).collect()
}

fn field<'a>(one: &'a Use, name: &str) -> Option<&'a str> {
    match name {
        "project_id" => Some(&one.project),
        "user_id" => Some(&one.owner),
        "api_key_id" => Some(&one.key),
        "model" | "line_item" => Some(&one.model),
        _ => None,
    }
}

pub(super) fn get(world: &mut World, call: &Call) -> Answer {
    let name = call.hole("capability");
    let Some((capability, result)) = CAPABILITIES.iter().find(|(known, _)| *known == name) else {
        return Err(Refusal::missing("usage endpoint", name));
    };
    let grouped: &[&str] = match *capability {
        "completions" => &[
            "project_id",
            "user_id",
            "api_key_id",
            "model",
            "batch",
            "service_tier",
        ],
        "vector_stores" | "code_interpreter_sessions" => &["project_id"],
        "file_search_calls" => &["project_id", "user_id", "api_key_id", "vector_store_id"],
        "images" => &[
            "project_id",
            "user_id",
            "api_key_id",
            "model",
            "size",
            "source",
        ],
        "web_search_calls" => &[
            "project_id",
            "user_id",
            "api_key_id",
            "model",
            "context_level",
        ],
        _ => &["project_id", "user_id", "api_key_id", "model"],
    };
    let object = format!("organization.usage.{result}.result");
    let render = |uses: &[&Use]| {
        let sum = |of: fn(&Use) -> i64| uses.iter().map(|u| of(u)).sum::<i64>();
        let mut row = json!({
            "object": object,
            "input_tokens": sum(|u| u.input),
            "num_model_requests": uses.len(),
        });
        for name in grouped {
            row[*name] = Value::Null;
        }
        if *capability == "completions" {
            row["output_tokens"] = json!(sum(|u| u.output));
            row["input_cached_tokens"] = json!(0);
        }
        row
    };
    buckets(
        world,
        call,
        &USAGE,
        grouped,
        |u| u.capability == *capability,
        render,
    )
}
