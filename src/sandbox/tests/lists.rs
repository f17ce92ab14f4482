//! Listings: pages, visibility, what is left out.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::sandbox::{Generation, Shape};

/// All rows, page by page.
fn all(running: &Running, path: &str, limit: usize) -> Vec<Value> {
    let (mut rows, mut after) = (Vec::new(), String::new());
    loop {
        let join = if path.contains('?') { '&' } else { '?' };
        let page = get(running, &format!("{path}{join}limit={limit}{after}"));
        let data = page["data"].as_array().unwrap();
        assert_eq!(
            page["first_id"],
            data.first().map_or(Value::Null, |row| row["id"].clone())
        );
        rows.extend(data.iter().cloned());
        if page["has_more"] == false {
            return rows;
        }
        assert_eq!(data.len(), limit);
        after = format!("&after={}", page["last_id"].as_str().unwrap());
    }
}

fn ids(rows: &[Value]) -> Vec<&str> {
    rows.iter().map(|row| row["id"].as_str().unwrap()).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]
    #[test]
    fn pages_put_together_are_the_whole_of_every_listing(limit in 1usize..12, keys in 0usize..25, projects in 1usize..9) {
        let shape = Shape { projects, user_keys: keys, ..Shape::default() };
        let running = Sandbox::start(Options { shape, ..Options::default() }).unwrap();
        let of_project = project_path(&running);
        for path in [
            "/v1/organization/projects?include_archived=true",
            "/v1/organization/admin_api_keys",
            "/v1/organization/users",
            "/v1/organization/audit_logs",
            &format!("{of_project}/api_keys?owner_project_access=any"),
            &format!("{of_project}/service_accounts"),
            &format!("{of_project}/users"),
            &format!("{of_project}/rate_limits"),
        ] {
            let (pages, whole) = (all(&running, path, limit), all(&running, path, 100));
            prop_assert_eq!(ids(&pages), ids(&whole), "{}", path);
            prop_assert!(!whole.is_empty(), "{}", path);
        }
        let of_project = all(&running, &format!("{of_project}/api_keys?owner_project_access=any"), limit);
        prop_assert_eq!(of_project.len(), keys + 2);
    }
}

#[test]
fn a_listing_holds_what_it_may_and_no_key() {
    let running = start();
    let path = project_path(&running);
    let page = get(
        &running,
        &format!("{path}/api_keys?owner_project_access=any"),
    );
    for row in page["data"].as_array().unwrap() {
        let id = row["id"].as_str().unwrap();
        running.with(|world| {
            let key = world.key(id).unwrap();
            let shown = row["redacted_value"].as_str().unwrap();
            assert_eq!(shown.len(), key.value.expose().len());
            assert!(
                !page
                    .to_string()
                    .contains(&*String::from_utf8_lossy(key.value.expose()))
            );
        });
    }
}

#[test]
fn archived_projects_are_listed_on_request_only() {
    let running = start();
    let count = |path: &str| get(&running, path)["data"].as_array().unwrap().len();
    assert_eq!(count("/v1/organization/projects"), 3);
    assert_eq!(count("/v1/organization/projects?include_archived=false"), 3);
    assert_eq!(count("/v1/organization/projects?include_archived=true"), 4);
}

#[test]
fn keys_of_owners_without_access_are_hidden_unless_asked_for() {
    let running = start();
    let path = project_path(&running);
    let keys = |query: &str| {
        let page = get(&running, &format!("{path}/api_keys?limit=100{query}"));
        page["data"].as_array().unwrap().len()
    };
    assert_eq!(keys(""), 5);
    let user = running.with(|world| world.projects[0].members[1].user.clone());
    let removed = admin(&running, "DELETE", &format!("{path}/users/{user}"), "");
    assert_eq!(
        removed.json(),
        json!({"object": "organization.project.user.deleted", "id": user, "deleted": true})
    );
    let hidden = 5 - keys("");
    assert!(hidden > 0);
    assert_eq!(keys("&owner_project_access=any"), 5);
    assert_eq!(keys("&owner_project_access=inactive"), hidden);
    assert_eq!(keys("&owner_project_access=active"), 5 - hidden);
    running.with(|world| world.settings.hides_inactive = false);
    assert_eq!(keys(""), 5);
    running.with(|world| world.settings.hides_inactive = true);
    running.with(|world| world.settings.generation = Generation::Old);
    assert_eq!(
        keys("&owner_project_access=any"),
        5 - hidden,
        "an older API ignores it"
    );
}

#[test]
fn wrong_queries_are_refused() {
    let running = start();
    for (query, param) in [
        ("limit=0", "limit"),
        ("limit=101", "limit"),
        ("limit=x", "limit"),
        ("include_archived=1", "include_archived"),
        ("includearchived=true", "includearchived"),
    ] {
        let got = admin(
            &running,
            "GET",
            &format!("/v1/organization/projects?{query}"),
            "",
        );
        assert_eq!(
            (got.status, &got.json()["error"]["param"]),
            (400, &json!(param)),
            "{query}"
        );
    }
    let got = admin(
        &running,
        "GET",
        "/v1/organization/projects?after=proj_none",
        "",
    );
    assert_eq!(got.status, 404);
    running.with(|world| world.settings.strict = false);
    get(&running, "/v1/organization/projects?includearchived=true");
}

#[test]
fn the_server_may_cut_pages_short() {
    let running = start();
    running.with(|world| world.settings.page_size = 2);
    let page = get(
        &running,
        "/v1/organization/projects?limit=100&include_archived=true",
    );
    assert_eq!(
        (page["data"].as_array().unwrap().len(), &page["has_more"]),
        (2, &json!(true))
    );
}

#[test]
fn changes_take_a_while_to_be_listed() {
    let running = start();
    let path = project_path(&running);
    running.with(|world| world.settings.listing_delay_ms = 5_000);
    let count = || {
        get(&running, &format!("{path}/service_accounts"))["data"]
            .as_array()
            .unwrap()
            .len()
    };
    let made = post(
        &running,
        &format!("{path}/service_accounts"),
        &json!({"name": "late"}),
    );
    assert_eq!(count(), 2);
    running.clock().advance(Duration::from_secs(5));
    assert_eq!(count(), 3);
    let one = format!("{path}/service_accounts/{}", made["id"].as_str().unwrap());
    assert_eq!(admin(&running, "DELETE", &one, "").status, 200);
    assert_eq!(count(), 3);
    running.clock().advance(Duration::from_secs(5));
    assert_eq!(count(), 2);
}

#[test]
fn users_are_found_by_address() {
    let running = start();
    let email = running.with(|world| world.users[1].email.clone());
    let page = get(
        &running,
        &format!("/v1/organization/users?emails%5B%5D={email}"),
    );
    assert_eq!(page["data"].as_array().unwrap().len(), 1);
    assert_eq!(page["data"][0]["email"], email);
}
