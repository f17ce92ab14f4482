//! What keys are used for, and how it shows: usage, costs, `last_used_at`, the audit log, limits.

use serde_json::{Value, json};

use super::*;
use crate::sandbox::{Clock, Form};

/// A key of the first project: its id and value.
fn key(running: &Running) -> (String, Secret) {
    running.with(|w| {
        let project = w.projects[0].id.clone();
        let key = w
            .keys
            .iter()
            .find(|k| k.project.as_ref() == Some(&project))
            .unwrap();
        (key.id.clone(), key.value.clone())
    })
}

fn ask(running: &Running, key: &Secret, model: &str) -> Got {
    let body = json!({"model": model, "input": "Say something."}).to_string();
    call_with(running, key, "POST", "/v1/responses", &body)
}

/// The sums of a field over all results of all buckets.
fn sum(page: &Value, field: &str) -> i64 {
    let buckets = page["data"].as_array().unwrap().iter();
    let results = buckets.flat_map(|bucket| bucket["results"].as_array().unwrap());
    results.map(|result| result[field].as_i64().unwrap()).sum()
}

#[test]
fn requests_are_counted_by_key_and_model_when_the_lag_is_over() {
    let running = start();
    let (id, value) = key(&running);
    running.with(|w| w.settings.usage_lag_ms = 60_000);
    for model in ["gpt-5", "gpt-5", "gpt-4o"] {
        let got = ask(&running, &value, model);
        assert_eq!(
            (got.status, got.json()["status"].as_str()),
            (200, Some("completed"))
        );
    }
    let path = format!(
        "/v1/organization/usage/completions?start_time={}&bucket_width=1m&limit=5&api_key_ids[]={id}&group_by[]=api_key_id&group_by=model",
        Clock::START
    );
    assert_eq!(
        sum(&get(&running, &path), "num_model_requests"),
        0,
        "too early"
    );
    running.clock().advance(Duration::from_secs(60));
    let page = get(&running, &path);
    assert_eq!(sum(&page, "num_model_requests"), 3);
    assert_eq!(sum(&page, "output_tokens"), 36);
    let results = page["data"][0]["results"].as_array().unwrap();
    let by_model: Vec<_> = results
        .iter()
        .map(|r| (r["model"].clone(), r["num_model_requests"].clone()))
        .collect();
    assert_eq!(
        by_model,
        [(json!("gpt-4o"), json!(1)), (json!("gpt-5"), json!(2))]
    );
    assert!(
        results
            .iter()
            .all(|r| r["api_key_id"] == json!(id) && r["project_id"].is_null())
    );
    let embedded = format!(
        "/v1/organization/usage/embeddings?start_time={}",
        Clock::START
    );
    assert_eq!(sum(&get(&running, &embedded), "num_model_requests"), 0);
    call_with(
        &running,
        &value,
        "POST",
        "/v1/embeddings",
        r#"{"model":"text-embedding-3-small","input":"x"}"#,
    );
    call_with(
        &running,
        &value,
        "POST",
        "/v1/chat/completions",
        r#"{"model":"gpt-5","messages":[]}"#,
    );
    running.clock().advance(Duration::from_secs(60));
    assert_eq!(sum(&get(&running, &embedded), "num_model_requests"), 1);
    assert_eq!(sum(&get(&running, &path), "num_model_requests"), 4);
}

#[test]
fn usage_and_costs_put_together_from_pages_are_the_whole() {
    let running = start();
    let start = Clock::START - 30 * 86_400;
    let total = |endpoint: &str, limit: usize, of: &dyn Fn(&Value) -> f64| {
        let (mut sum, mut page, mut buckets) = (0.0, String::new(), 0);
        loop {
            let answer = get(
                &running,
                &format!("/v1/organization/{endpoint}?start_time={start}&limit={limit}{page}"),
            );
            for bucket in answer["data"].as_array().unwrap() {
                buckets += 1;
                sum += bucket["results"]
                    .as_array()
                    .unwrap()
                    .iter()
                    .map(of)
                    .sum::<f64>();
            }
            match answer["next_page"].as_str() {
                Some(next) => page = format!("&page={next}"),
                None => return ((sum * 1e6).round(), buckets),
            }
        }
    };
    let requests = |r: &Value| r["num_model_requests"].as_f64().unwrap();
    let cost = |r: &Value| r["amount"]["value"].as_f64().unwrap();
    let (uses, spent) = running.with(|w| {
        (
            w.uses.len() as f64,
            w.uses.iter().map(|u| u.cost).sum::<f64>(),
        )
    });
    assert!(uses > 100.0);
    for limit in [1, 4, 7, 31] {
        assert_eq!(
            total("usage/completions", limit, &requests),
            (uses * 1e6, 31)
        );
        assert_eq!(total("costs", limit, &cost), ((spent * 1e6).round(), 31));
    }
}

#[test]
fn usage_ends_with_this_second_or_before_the_one_that_was_asked_for() {
    let running = start();
    let (id, value) = key(&running);
    let path = format!(
        "/v1/organization/usage/completions?start_time={}&api_key_ids[]={id}",
        Clock::START
    );
    for _ in 0..2 {
        assert_eq!(ask(&running, &value, "gpt-5").status, 200);
        running.clock().advance(Duration::from_secs(1));
    }
    assert_eq!(ask(&running, &value, "gpt-5").status, 200);
    let count = |end: &str| {
        sum(
            &get(&running, &format!("{path}{end}")),
            "num_model_requests",
        )
    };
    assert_eq!(count(""), 3);
    assert_eq!(count(&format!("&end_time={}", Clock::START + 2)), 2);
}

#[test]
fn wrong_questions_about_usage_are_refused() {
    let running = start();
    for query in [
        "",
        "start_time=x",
        "start_time=1&bucket_width=2d",
        "start_time=1&limit=32",
        "start_time=1&group_by=colour",
        "start_time=1&page=x",
        "start_time=1&page=page_0",
    ] {
        let got = admin(
            &running,
            "GET",
            &format!("/v1/organization/usage/completions?{query}"),
            "",
        );
        assert_eq!(got.status, 400, "{query}");
    }
    assert_eq!(
        admin(
            &running,
            "GET",
            "/v1/organization/usage/dreams?start_time=1",
            ""
        )
        .status,
        404
    );
    assert_eq!(
        admin(
            &running,
            "GET",
            "/v1/organization/costs?start_time=1&bucket_width=1h",
            ""
        )
        .status,
        400
    );
}

#[test]
fn last_used_moves_with_a_probe_when_the_lag_is_over() {
    let running = start();
    let made = post(
        &running,
        &format!("{}/service_accounts", project_path(&running)),
        &json!({"name": "new"}),
    );
    let value = Secret::new(made["api_key"]["value"].as_str().unwrap().into());
    let path = format!(
        "{}/api_keys/{}",
        project_path(&running),
        made["api_key"]["id"].as_str().unwrap()
    );
    let last_used = || get(&running, &path)["last_used_at"].clone();
    running.with(|w| w.settings.last_used_lag_ms = 120_000);
    assert_eq!(last_used(), Value::Null);
    let at = running.clock().seconds();
    call_with(&running, &value, "GET", "/v1/models", "");
    running.clock().advance(Duration::from_secs(119));
    assert_eq!(last_used(), Value::Null);
    running.clock().advance(Duration::from_secs(1));
    assert_eq!(last_used(), at);
}

#[test]
fn the_audit_log_tells_who_did_what_if_it_is_on() {
    let running = start();
    let path = project_path(&running);
    let since = running.clock().seconds();
    running.clock().advance(Duration::from_secs(5));
    let account = post(
        &running,
        &format!("{path}/service_accounts"),
        &json!({"name": "a"}),
    );
    let account = account["id"].as_str().unwrap();
    let key = post(
        &running,
        &format!("{path}/service_accounts/{account}/api_keys"),
        &json!({"scopes": ["api.model.read"]}),
    );
    let id = key["id"].as_str().unwrap();
    admin(&running, "DELETE", &format!("{path}/api_keys/{id}"), "");
    let log = |query: &str| {
        get(
            &running,
            &format!("/v1/organization/audit_logs?limit=100&{query}"),
        )["data"]
            .as_array()
            .unwrap()
            .clone()
    };
    let events = log(&format!("resource_ids[]={id}"));
    let kinds: Vec<_> = events.iter().map(|e| e["type"].as_str().unwrap()).collect();
    assert_eq!(
        kinds,
        ["api_key.deleted", "api_key.created"],
        "newest first"
    );
    assert_eq!(
        events[1]["api_key.created"],
        json!({"id": id, "data": {"scopes": ["api.model.read"]}})
    );
    assert_eq!(
        events[1]["actor"]["api_key"]["id"],
        running.with(|w| w.keys[0].id.clone())
    );
    assert_eq!(events[1]["effective_at"], since + 5);
    let recent = format!("effective_at[gt]={since}");
    assert_eq!(log(&recent).len(), 4);
    assert_eq!(
        log(&format!("{recent}&event_types[]=service_account.created")).len(),
        1
    );
    let other = running.with(|w| w.projects[1].id.clone());
    assert_eq!(log(&format!("{recent}&project_ids[]={other}")).len(), 0);
    assert_eq!(
        log(&format!(
            "effective_at[lt]={since}&effective_at[gte]={since}"
        ))
        .len(),
        0
    );
    let all = log("");
    let middle = all[50.min(all.len() / 2)]["id"].as_str().unwrap();
    let (newer, older) = (
        log(&format!("before={middle}")),
        log(&format!("after={middle}")),
    );
    assert_eq!(
        [&newer[..], &all[newer.len()..=newer.len()], &older[..]].concat(),
        all
    );
    assert_eq!(
        admin(
            &running,
            "GET",
            "/v1/organization/audit_logs?effective_at=5",
            ""
        )
        .status,
        400
    );
    running.with(|w| w.settings.audit_lag_ms = 10_000);
    assert_eq!(log(&recent).len(), 0);
    running.with(|w| (w.settings.audit_lag_ms, w.settings.audit_log) = (0, false));
    assert!(log("").is_empty());
}

#[test]
fn limits_of_a_project_bind_all_of_its_keys() {
    let running = start();
    let path = project_path(&running);
    let (_, value) = key(&running);
    let limits = get(&running, &format!("{path}/rate_limits?limit=100"));
    let limit = limits["data"]
        .as_array()
        .unwrap()
        .iter()
        .find(|l| l["model"] == "gpt-5")
        .unwrap();
    let one = format!("{path}/rate_limits/{}", limit["id"].as_str().unwrap());
    let changed = post(&running, &one, &json!({"max_requests_per_1_minute": 2}));
    assert_eq!(
        changed["max_tokens_per_1_minute"],
        limit["max_tokens_per_1_minute"]
    );
    let status = || ask(&running, &value, "gpt-5").code();
    assert_eq!([status().0, status().0, status().0], [200, 200, 429]);
    assert_eq!(status(), (429, json!("rate_limit_exceeded")));
    assert_eq!(ask(&running, &value, "gpt-4o").status, 200);
    running.clock().advance(Duration::from_secs(60));
    assert_eq!(status().0, 200);
}

#[test]
fn spending_is_limited_by_month() {
    let running = start();
    let path = format!("{}/spend_limit", project_path(&running));
    let (_, value) = key(&running);
    assert_eq!(admin(&running, "GET", &path, "").status, 404);
    for wrong in [
        json!({}),
        json!({"threshold_amount": 0, "currency": "USD", "interval": "month"}),
        json!({"threshold_amount": 1, "currency": "EUR", "interval": "month"}),
        json!({"threshold_amount": 1, "currency": "USD", "interval": "day"}),
    ] {
        assert_eq!(
            admin(&running, "POST", &path, &wrong.to_string()).status,
            400,
            "{wrong}"
        );
    }
    let set = post(
        &running,
        &path,
        &json!({"threshold_amount": 1, "currency": "USD", "interval": "month"}),
    );
    assert_eq!(set["enforcement"]["status"], "enforcing");
    let got = ask(&running, &value, "gpt-5");
    assert_eq!(got.code(), (429, json!("project_spend_limit_exceeded")));
    assert_eq!(got.json()["error"]["type"], "insufficient_quota");
    running.clock().advance(Duration::from_secs(31 * 86_400));
    assert_eq!(get(&running, &path)["enforcement"]["status"], "inactive");
    assert_eq!(ask(&running, &value, "gpt-5").status, 200);
    assert_eq!(admin(&running, "DELETE", &path, "").json()["deleted"], true);
    assert_eq!(admin(&running, "DELETE", &path, "").status, 404);
    let own = "/v1/organization/spend_limit";
    assert_eq!(admin(&running, "GET", own, "").status, 404);
    let limit = json!({"threshold_amount": 1, "currency": "USD", "interval": "month"});
    assert_eq!(
        post(&running, own, &limit)["object"],
        "organization.spend_limit"
    );
    assert_eq!(
        ask(&running, &value, "gpt-5").status,
        200,
        "not a cent was spent yet"
    );
    running.with(|w| w.spend_limit = Some(0));
    assert_eq!(
        ask(&running, &value, "gpt-5").code().1,
        "organization_spend_limit_exceeded"
    );
    assert_eq!(admin(&running, "DELETE", own, "").json()["deleted"], true);
    assert_eq!(ask(&running, &value, "gpt-5").status, 200);
}

#[test]
fn models_are_allowed_by_project() {
    let running = start();
    let path = format!("{}/model_permissions", project_path(&running));
    let (_, value) = key(&running);
    assert_eq!(get(&running, &path)["mode"], "deny_list");
    post(
        &running,
        &path,
        &json!({"mode": "allow_list", "model_ids": ["gpt-4o"]}),
    );
    let models = call_with(&running, &value, "GET", "/v1/models", "").json();
    assert_eq!(models["data"].as_array().unwrap().len(), 1);
    let got = ask(&running, &value, "gpt-5");
    assert_eq!(got.code(), (403, json!("model_not_found")));
    let project = running.with(|w| w.projects[0].id.clone());
    assert!(got.body.contains(&format!(
        "Project `{project}` does not have access to model `gpt-5`"
    )));
    post(
        &running,
        &path,
        &json!({"mode": "deny_list", "model_ids": ["gpt-4o"]}),
    );
    assert_eq!(
        (
            ask(&running, &value, "gpt-5").status,
            ask(&running, &value, "gpt-4o").status
        ),
        (200, 403)
    );
    assert_eq!(
        admin(&running, "POST", &path, r#"{"mode":"both","model_ids":[]}"#).status,
        400
    );
    assert_eq!(admin(&running, "DELETE", &path, "").json()["deleted"], true);
    assert_eq!(ask(&running, &value, "gpt-4o").status, 200);
}

#[test]
fn projects_and_members_are_made_and_changed() {
    let running = start();
    let made = post(
        &running,
        "/v1/organization/projects",
        &json!({"name": "new"}),
    );
    let path = format!("/v1/organization/projects/{}", made["id"].as_str().unwrap());
    assert_eq!(
        (made["status"].as_str(), &made["archived_at"]),
        (Some("active"), &Value::Null)
    );
    assert_eq!(
        post(&running, &path, &json!({"name": "newer"}))["name"],
        "newer"
    );
    let user = running.with(|w| w.users[2].id.clone());
    let added = post(
        &running,
        &format!("{path}/users"),
        &json!({"user_id": user, "role": "member"}),
    );
    assert_eq!(get(&running, &format!("{path}/users/{user}")), added);
    assert_eq!(
        admin(
            &running,
            "POST",
            &format!("{path}/users"),
            r#"{"user_id":"user-x","role":"member"}"#
        )
        .status,
        404
    );
    let account = post(
        &running,
        &format!("{path}/service_accounts"),
        &json!({"name": "a"}),
    );
    let account = format!(
        "{path}/service_accounts/{}",
        account["id"].as_str().unwrap()
    );
    assert_eq!(
        post(&running, &account, &json!({"role": "owner"}))["role"],
        "owner"
    );
    assert_eq!(get(&running, &account)["role"], "owner");
    assert_eq!(
        admin(&running, "POST", &account, r#"{"role":"king"}"#).status,
        400
    );
    post(&running, &format!("{path}/archive"), &json!({}));
    assert_eq!(
        admin(&running, "POST", &path, r#"{"name":"x"}"#).status,
        400
    );
}

#[test]
fn the_organisation_survives_what_is_no_request_of_the_api() {
    let running = start();
    for (method, path, status) in [
        ("GET", "/", 404),
        ("GET", "/v1/organization/nothing", 404),
        ("PATCH", "/v1/models", 405),
        ("DELETE", "/v1/models", 405),
        ("GET", "/v1/organization/projects/none", 404),
        ("GET", "/v1/organization/projects/none/api_keys", 404),
        ("GET", "/v1/organization/projects/%00/api_keys/%ff", 400),
    ] {
        let got = admin(&running, method, path, "");
        assert_eq!(got.status, status, "{method} {path}: {got:?}");
    }
    assert_eq!(
        call_with(
            &running,
            &Secret::new(b"x".to_vec()),
            "GET",
            "/v1/models",
            ""
        )
        .status,
        401
    );
    let got = send(
        &running,
        "GET",
        "/v1/models",
        &[("authorization", "Basic x")],
        "",
    )
    .unwrap();
    assert_eq!(got.status, 401);
    let short = Form::UserLegacy.make(77);
    assert!(
        call_with(&running, &short, "GET", "/v1/models", "")
            .body
            .contains("***")
    );
}
