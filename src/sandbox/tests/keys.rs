//! Keys: made, changed, deleted, expired, and let in or not.

use serde_json::{Value, json};

use super::*;
use crate::sandbox::{Form, Generation, Owner};

fn probe(running: &Running, key: &Secret) -> Got {
    call_with(running, key, "GET", "/v1/models", "")
}

/// A new service account of the first project: its id, its key's id and value.
fn account(running: &Running) -> (String, String, Secret) {
    let path = format!("{}/service_accounts", project_path(running));
    let made = post(running, &path, &json!({"name": "rotated"}));
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let value = Secret::new(text(&made["api_key"]["value"]).into_bytes());
    (text(&made["id"]), text(&made["api_key"]["id"]), value)
}

#[test]
fn a_key_lives_from_its_creation_to_its_deletion() {
    let running = start();
    let (_, id, value) = account(&running);
    assert_eq!(probe(&running, &value).status, 200);
    let path = format!("{}/api_keys/{id}", project_path(&running));
    let got = admin(&running, "DELETE", &path, "");
    assert_eq!(
        got.json(),
        json!({"object": "organization.project.api_key.deleted", "id": id, "deleted": true})
    );
    assert_eq!(
        probe(&running, &value).code(),
        (401, json!("invalid_api_key"))
    );
    assert_eq!(admin(&running, "GET", &path, "").status, 404);
    assert_eq!(admin(&running, "DELETE", &path, "").status, 404);
    assert!(!running.with(|world| world.lives(&id)));
}

#[test]
fn a_key_says_where_it_belongs() {
    let running = start();
    let (_, _, value) = account(&running);
    let got = probe(&running, &value);
    let (slug, project) = running.with(|w| (w.organisation.slug.clone(), w.projects[0].id.clone()));
    assert_eq!(got.header("openai-organization"), Some(slug.as_str()));
    assert_eq!(got.header("openai-project"), Some(project.as_str()));
    assert!(got.header("x-request-id").unwrap().starts_with("req_"));
    assert_eq!(got.header("date"), Some("Thu, 15 Oct 2026 00:00:00 GMT"));
    let unknown = probe(&running, &Form::Project.make(99));
    assert_eq!(unknown.code(), (401, json!("invalid_api_key")));
    assert_eq!(unknown.header("openai-organization"), None);
    assert!(unknown.header("x-request-id").is_some());
    let masked = unknown.json()["error"]["message"].to_string();
    assert!(
        masked.contains(&format!("sk-proj-{}", "*".repeat(152))),
        "{masked}"
    );
}

#[test]
fn creation_and_deletion_take_a_while_to_spread() {
    let running = start();
    running.with(|w| (w.settings.create_delay_ms, w.settings.delete_delay_ms) = (3_000, 2_000));
    let (_, id, value) = account(&running);
    let status = || probe(&running, &value).status;
    assert_eq!((status(), status()), (401, 401));
    running.with(|w| w.settings.flapping = true);
    assert_eq!(
        [status(), status(), status(), status()],
        [401, 200, 401, 200]
    );
    running.clock().advance(Duration::from_secs(3));
    assert_eq!((status(), status()), (200, 200));
    admin(
        &running,
        "DELETE",
        &format!("{}/api_keys/{id}", project_path(&running)),
        "",
    );
    let during = [status(), status(), status()];
    assert!(during.contains(&200) && during.contains(&401), "{during:?}");
    running.clock().advance(Duration::from_secs(2));
    assert_eq!((status(), status()), (401, 401));
}

#[test]
fn before_october_a_service_accounts_key_goes_with_its_account_only() {
    let running = start();
    let (account, id, value) = account(&running);
    let path = project_path(&running);
    for generation in [Generation::Old, Generation::July, Generation::September] {
        running.with(|w| w.settings.generation = generation);
        assert_eq!(
            admin(&running, "DELETE", &format!("{path}/api_keys/{id}"), "").status,
            400
        );
        let change = admin(
            &running,
            "POST",
            &format!("{path}/api_keys/{id}"),
            r#"{"scopes":["x"]}"#,
        );
        assert_eq!(change.status, 405);
    }
    let user = running.with(|w| {
        let key = w
            .keys
            .iter()
            .find(|k| matches!(k.owner, Owner::User(_)) && k.project.is_some());
        (
            key.unwrap().id.clone(),
            key.unwrap().project.clone().unwrap(),
        )
    });
    let users = format!("/v1/organization/projects/{}/api_keys/{}", user.1, user.0);
    assert_eq!(admin(&running, "DELETE", &users, "").status, 200);
    assert_eq!(probe(&running, &value).status, 200);
    let got = admin(
        &running,
        "DELETE",
        &format!("{path}/service_accounts/{account}"),
        "",
    );
    assert_eq!(got.json()["deleted"], true);
    assert_eq!(probe(&running, &value).status, 401);
}

#[test]
fn each_generation_can_do_what_it_can() {
    let running = start();
    let (account, id, _) = account(&running);
    let path = project_path(&running);
    let more = format!("{path}/service_accounts/{account}/api_keys");
    let key = format!("{path}/api_keys/{id}");
    let expiring = format!("{path}/service_accounts");
    for (generation, makes, expires, changes) in [
        (Generation::Old, 404, 400, 405),
        (Generation::July, 200, 400, 405),
        (Generation::September, 200, 200, 405),
        (Generation::New, 200, 200, 200),
    ] {
        running.with(|w| w.settings.generation = generation);
        let status = |path: &str, body: &str| admin(&running, "POST", path, body).status;
        assert_eq!(status(&more, r#"{"name":"b"}"#), makes, "{generation:?}");
        assert_eq!(
            status(&expiring, r#"{"name":"c","expires_in_seconds":60}"#),
            expires,
            "{generation:?}"
        );
        assert_eq!(
            status(&key, r#"{"expires_in_seconds":3600}"#),
            changes,
            "{generation:?}"
        );
        let row = get(&running, &key);
        assert_eq!(
            row.get("owner_project_access").is_some(),
            generation >= Generation::July
        );
        assert_eq!(
            row.get("expires_at").is_some(),
            generation >= Generation::September
        );
    }
}

#[test]
fn a_new_key_of_the_same_account_has_its_own_life() {
    let running = start();
    let (account, id, value) = account(&running);
    let path = project_path(&running);
    let body = json!({"name": "b", "scopes": ["api.model.read"], "expires_in_seconds": 60});
    let made = post(
        &running,
        &format!("{path}/service_accounts/{account}/api_keys"),
        &body,
    );
    assert_eq!(
        made["object"],
        "organization.project.service_account.api_key"
    );
    assert_eq!(made["name"], "b");
    assert!(made.get("redacted_value").is_none());
    assert_eq!(made["expires_at"], running.clock().seconds() + 60);
    let other = Secret::new(made["value"].as_str().unwrap().into());
    assert_eq!(
        admin(&running, "DELETE", &format!("{path}/api_keys/{id}"), "").status,
        200
    );
    assert_eq!(
        (
            probe(&running, &value).status,
            probe(&running, &other).status
        ),
        (401, 200)
    );
    let ask = call_with(
        &running,
        &other,
        "POST",
        "/v1/responses",
        r#"{"model":"gpt-5","input":"x"}"#,
    );
    assert_eq!(
        (ask.status, ask.json()["error"]["code"].clone()),
        (401, Value::Null)
    );
    assert!(ask.body.contains("Missing scopes: api.responses.write"));
    running.clock().advance(Duration::from_secs(60));
    assert_eq!(probe(&running, &other).status, 401, "it has expired");
    let got = admin(
        &running,
        "POST",
        &format!("{path}/api_keys/{}", made["id"].as_str().unwrap()),
        r#"{"scopes":[]}"#,
    );
    assert_eq!(got.status, 400, "an expired key can't be changed");
}

#[test]
fn changes_of_a_key_are_checked() {
    let running = start();
    let (_, id, value) = account(&running);
    let path = format!("{}/api_keys/{id}", project_path(&running));
    for wrong in [
        json!({}),
        json!({"scopes": null}),
        json!({"expires_in_seconds": 0}),
        json!({"expires_in_seconds": 31_536_001}),
        json!({"expires_in_seconds": "60"}),
        json!({"scopes": "all"}),
        json!({"name": "new"}),
    ] {
        assert_eq!(
            admin(&running, "POST", &path, &wrong.to_string()).status,
            400,
            "{wrong}"
        );
    }
    assert_eq!(
        post(&running, &path, &json!({"expires_in_seconds": 60}))["expires_at"],
        running.clock().seconds() + 60
    );
    running.clock().advance(Duration::from_secs(30));
    assert_eq!(
        post(&running, &path, &json!({"expires_in_seconds": 60}))["expires_at"],
        running.clock().seconds() + 60
    );
    post(&running, &path, &json!({"scopes": ["model.request"]}));
    let got = probe(&running, &value);
    assert_eq!(
        (
            got.status,
            got.body.contains("Missing scopes: api.model.read")
        ),
        (403, true)
    );
    post(&running, &path, &json!({"scopes": []}));
    assert_eq!(
        probe(&running, &value).status,
        200,
        "no scopes are all scopes"
    );
}

#[test]
fn accounts_are_made_without_a_key_too_and_not_in_archived_projects() {
    let running = start();
    let path = format!("{}/service_accounts", project_path(&running));
    let made = post(
        &running,
        &path,
        &json!({"name": "a", "create_service_account_only": true}),
    );
    assert_eq!(made["api_key"], Value::Null);
    running.with(|w| w.settings.unique_names = true);
    assert_eq!(
        admin(&running, "POST", &path, r#"{"name":"a"}"#).status,
        400
    );
    assert_eq!(admin(&running, "POST", &path, "{}").status, 400);
    assert_eq!(admin(&running, "POST", &path, "nothing").status, 400);
    let archived = running.with(|w| {
        w.projects
            .iter()
            .find(|p| p.archived.is_some())
            .unwrap()
            .id
            .clone()
    });
    let path = format!("/v1/organization/projects/{archived}/service_accounts");
    assert_eq!(
        admin(&running, "POST", &path, r#"{"name":"a"}"#).status,
        400
    );
}

#[test]
fn archiving_a_project_ends_its_keys() {
    let running = start();
    let (_, _, value) = account(&running);
    let got = admin(
        &running,
        "POST",
        &format!("{}/archive", project_path(&running)),
        "",
    );
    assert_eq!(got.json()["status"], "archived");
    assert_eq!(
        probe(&running, &value).code(),
        (401, json!("not_authorized_invalid_project"))
    );
}

#[test]
fn policies_bind_new_keys() {
    let running = start();
    let path = format!("{}/service_accounts", project_path(&running));
    running.with(|w| (w.settings.require_expiry, w.settings.longest_expiry_s) = (true, 3600));
    let status = |body: &str| admin(&running, "POST", &path, body).status;
    assert_eq!(status(r#"{"name":"a"}"#), 400);
    assert_eq!(status(r#"{"name":"a","expires_in_seconds":3601}"#), 400);
    assert_eq!(status(r#"{"name":"a","expires_in_seconds":3600}"#), 200);
    assert_eq!(
        status(r#"{"name":"b","create_service_account_only":true}"#),
        200
    );
}

#[test]
fn admin_keys_make_and_delete_admin_keys() {
    let running = start();
    let made = post(
        &running,
        "/v1/organization/admin_api_keys",
        &json!({"name": "next"}),
    );
    let value = Secret::new(made["value"].as_str().unwrap().into());
    let list = call_with(
        &running,
        &value,
        "GET",
        "/v1/organization/admin_api_keys?order=desc",
        "",
    )
    .json();
    assert_eq!(list["data"][0]["id"], made["id"]);
    assert!(!list.to_string().contains(made["value"].as_str().unwrap()));
    let old = running.with(|w| w.keys[0].id.clone());
    let path = format!("/v1/organization/admin_api_keys/{old}");
    assert_eq!(
        call_with(&running, &value, "GET", &path, "").json()["id"],
        old
    );
    assert_eq!(
        call_with(&running, &value, "DELETE", &path, "").json()["deleted"],
        true
    );
    assert_eq!(
        admin(&running, "GET", "/v1/organization/projects", "").code(),
        (401, json!("invalid_api_key"))
    );
}

#[test]
fn each_kind_of_key_opens_its_own_doors() {
    let running = start();
    let (_, _, value) = account(&running);
    let got = call_with(&running, &value, "GET", "/v1/organization/projects", "");
    assert!(got.status == 401 && got.body.contains("Missing scopes: api.management.read"));
    assert_eq!(probe(&running, &running.admin_key()).status, 403);
    let reader = running.with(|w| w.keys[1].value.clone());
    assert_eq!(
        call_with(&running, &reader, "GET", "/v1/organization/projects", "").status,
        200
    );
    let got = call_with(
        &running,
        &reader,
        "POST",
        "/v1/organization/projects",
        r#"{"name":"x"}"#,
    );
    assert!(got.body.contains("Missing scopes: api.management.write"));
    let got = send(&running, "GET", "/v1/models", &[], "").unwrap();
    assert_eq!(
        (got.status, got.json()["error"]["code"].clone()),
        (401, Value::Null)
    );
    let legacy = running.with(|w| {
        w.keys
            .iter()
            .find(|k| k.form == Form::UserLegacy)
            .unwrap()
            .value
            .clone()
    });
    let me = call_with(&running, &legacy, "GET", "/v1/me", "").json();
    assert_eq!(
        me["orgs"]["data"][0]["id"],
        running.with(|w| w.organisation.id.clone())
    );
}

#[test]
fn headers_must_name_the_keys_own_organisation_and_project() {
    let running = start();
    let (_, _, value) = account(&running);
    let (org, slug, [own, other]) = running.with(|w| {
        let ids = [0, 1].map(|n| w.projects[n].id.clone());
        (w.organisation.id.clone(), w.organisation.slug.clone(), ids)
    });
    let with = |name: &str, said: &str| {
        let headers = [("authorization", bearer(&value)), (name, said.to_owned())];
        let headers = headers.each_ref().map(|(n, v)| (*n, v.as_str()));
        send(&running, "GET", "/v1/models", &headers, "").unwrap()
    };
    assert_eq!(with("openai-organization", &org).status, 200);
    assert_eq!(with("openai-organization", &slug).status, 200);
    assert_eq!(with("openai-project", &own).status, 200);
    assert_eq!(
        with("openai-organization", "org-x").code(),
        (401, json!("mismatched_organization"))
    );
    assert_eq!(
        with("openai-project", &other).code(),
        (401, json!("mismatched_project"))
    );
}

#[test]
fn twins_are_listed_alike_and_live_apart() {
    let shape = crate::sandbox::Shape {
        twins: 1,
        ..Default::default()
    };
    let running = Sandbox::start(Options {
        shape,
        ..Options::default()
    })
    .unwrap();
    let page = get(
        &running,
        &format!(
            "{}/api_keys?owner_project_access=any",
            project_path(&running)
        ),
    );
    let mut shown: Vec<_> = page["data"]
        .as_array()
        .unwrap()
        .iter()
        .map(|r| r["redacted_value"].to_string())
        .collect();
    let all = shown.len();
    shown.sort_unstable();
    shown.dedup();
    assert_eq!(shown.len(), all - 1);
}

#[test]
fn a_removed_users_key_is_of_no_organisation() {
    let running = start();
    let (user, value) = running.with(|w| {
        let key = w.keys.iter().find(|k| k.form == Form::UserLegacy).unwrap();
        let Owner::User(id) = &key.owner else {
            panic!("a user's")
        };
        (id.clone(), key.value.clone())
    });
    assert_eq!(probe(&running, &value).status, 200);
    assert_eq!(
        admin(
            &running,
            "DELETE",
            &format!("/v1/organization/users/{user}"),
            ""
        )
        .json()["deleted"],
        true
    );
    assert_eq!(
        probe(&running, &value).code(),
        (401, json!("no_organization"))
    );
}
