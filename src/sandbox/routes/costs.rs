//! What it cost, by day.

use serde_json::json;

use super::usage::{Widths, buckets};
use crate::sandbox::call::{Answer, Call};
use crate::sandbox::parts::Use;
use crate::sandbox::world::World;

pub(super) const QUERY: &[&str] = &[
    "start_time",
    "end_time",
    "bucket_width",
    "project_ids",
    "api_key_ids",
    "line_items",
    "group_by",
    "limit",
    "page",
];

const COSTS: Widths = Widths {
    widths: &[("1d", 86_400, 7, 180)],
    default: "1d",
};

pub(super) fn get(world: &mut World, call: &Call) -> Answer {
    let render = |uses: &[&Use]| {
        json!({
            "object": "organization.costs.result",
            "amount": {"value": uses.iter().map(|u| u.cost).sum::<f64>(), "currency": "usd"},
            "line_item": null,
            "project_id": null,
            "api_key_id": null,
        })
    };
    let grouped = &["project_id", "user_id", "line_item", "api_key_id"];
    buckets(world, call, &COSTS, grouped, |_| true, render)
}
