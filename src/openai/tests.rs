//! The client of the API against answers made by hand: good ones, odd ones and broken ones.

use std::sync::Arc;
use std::time::Duration;

use super::*;
use crate::clock::Clock;
use crate::clock::manual::Manual;
use crate::http::Method;
use crate::http::scripted::{Asked, Scripted, answer, client, json};
use crate::matcher::Matcher;
use crate::rules::{Rules, Template};
use crate::secret::Secret;

const START: i64 = 1_790_000_000;

struct Bench {
    server: Scripted,
    clock: Arc<Manual>,
    admin: Admin,
}

fn key(seed: u64) -> Secret {
    let template = Template::parse("sk-admin-{long:58,58}").unwrap();
    Secret::new(template.fill(seed).key.into_bytes())
}

fn bench(answer: impl FnMut(usize, &Asked) -> Vec<u8> + Send + 'static) -> Bench {
    let server = Scripted::new(answer);
    let clock = Arc::new(Manual::new(START));
    let matcher = Matcher::new(&Rules::built_in(), None);
    let service = Service::new(
        client(),
        Settings::new(server.address("/v1")),
        clock.clone(),
        Arc::new(move |text: &[u8]| matcher.redact(text)),
        Arc::new(()),
    );
    Bench {
        server,
        clock,
        admin: Admin::new(Arc::new(service), key(1)),
    }
}

fn page(ids: std::ops::Range<u32>, has_more: bool) -> String {
    let rows: Vec<String> = ids
        .clone()
        .map(|n| format!("{{\"id\":\"proj_{n}\",\"object\":\"organization.project\",\"name\":\"p\",\"new_field\":{{}}}}"))
        .collect();
    format!(
        "{{\"object\":\"list\",\"data\":[{}],\"has_more\":{has_more},\"last_id\":\"proj_{}\"}}",
        rows.join(","),
        ids.end.saturating_sub(1)
    )
}

fn refusal(code: &str, message: &str) -> String {
    serde_json::json!({"error": {"message": message, "type": "invalid_request_error", "param": null, "code": code}})
        .to_string()
}

#[test]
fn pages_follow_each_other() {
    let bench = bench(|n, _| match n {
        0 => json(200, &page(0..100, true)),
        _ => json(200, &page(100..130, false)),
    });
    let all = bench.admin.projects(true).all().unwrap();
    assert_eq!(all.len(), 130);
    let targets: Vec<String> = bench.server.asked().into_iter().map(|a| a.target).collect();
    assert_eq!(
        targets,
        [
            "/v1/organization/projects?include_archived=true&limit=100",
            "/v1/organization/projects?include_archived=true&limit=100&after=proj_99"
        ]
    );
    let resumed = bench
        .admin
        .projects(true)
        .resume(Some("proj_99".to_owned()));
    assert_eq!(resumed.all().unwrap().len(), 30);
}

#[test]
fn a_full_last_page_is_not_believed_to_be_the_last() {
    let liar = bench(|n, _| match n {
        0 => json(200, &page(0..100, false)),
        _ => json(200, &page(100..105, false)),
    });
    assert_eq!(liar.admin.projects(false).all().unwrap().len(), 105);
    let honest = bench(|n, _| match n {
        0 => json(200, &page(0..100, false)),
        _ => json(200, "{\"data\":[],\"has_more\":false}"),
    });
    assert_eq!(honest.admin.projects(false).all().unwrap().len(), 100);
}

fn listing_error(answers: impl FnMut(usize, &Asked) -> Vec<u8> + Send + 'static) -> String {
    let bench = bench(answers);
    let error = bench.admin.projects(true).all().unwrap_err();
    assert!(bench.server.asked().len() <= 1100);
    error.to_string()
}

#[test]
fn listings_that_are_none_are_errors() {
    let circle = listing_error(|_, _| json(200, &page(0..3, true)));
    assert!(circle.contains("goes in circles"), "{circle}");
    let shuffled = listing_error(|n, _| {
        json(
            200,
            &page(0..3, true).replace("\"last_id\":\"proj_2\"", &format!("\"last_id\":\"c{n}\"")),
        )
    });
    assert!(shuffled.contains("goes in circles"), "{shuffled}");
    let lost = listing_error(|_, _| json(200, "{\"data\":[],\"has_more\":true}"));
    assert!(lost.contains("not where"), "{lost}");
    let silent = listing_error(|_, _| json(200, "{\"data\":[]}"));
    assert!(silent.contains("has_more"), "{silent}");
    let endless = bench(|n, _| {
        let n = n as u32 * 2;
        json(200, &page(n..n + 2, true))
    });
    let mut settings = endless.admin.service().settings().clone();
    settings.most_pages = 20;
    settings.base = endless.server.address("/v1");
    let service = Service::new(
        client(),
        settings,
        endless.clock.clone(),
        Arc::new(|text: &[u8]| crate::secret::Masked::vouched(text)),
        Arc::new(()),
    );
    let error = Admin::new(Arc::new(service), key(1))
        .projects(true)
        .all()
        .unwrap_err();
    assert!(
        error.to_string().contains("did not end after 20 pages"),
        "{error}"
    );
}

#[test]
fn what_is_not_the_api_is_never_taken_for_it() {
    for (status, body, word) in [
        (200, "<html><body>Please log in</body></html>", "no JSON"),
        (
            200,
            "{\"object\":\"list\",\"data\":[{\"id\":\"pro",
            "cut short",
        ),
        (
            200,
            "{\"error\":{\"message\":\"x\"},\"data\":[],\"has_more\":false}",
            "holds an error",
        ),
        (
            200,
            "{\"data\":[{\"name\":\"no id\"}],\"has_more\":false}",
            "missing field",
        ),
        (200, "[]", "invalid length"),
        (401, "<html>Who are you?</html>", "not the API's"),
        (404, "", "not the API's"),
    ] {
        let bench = bench(move |_, _| json(status, body));
        let error = bench.admin.projects(true).all().unwrap_err();
        assert!(error.to_string().contains(word), "{body}: {error}");
        assert!(!error.is_key_refused() && !error.is_not_found());
        assert_eq!(bench.server.asked().len(), 1);
    }
}

#[test]
fn a_refusal_says_what_was_refused_and_holds_no_key() {
    let secret = key(1);
    let whole = String::from_utf8(secret.expose().to_vec()).unwrap();
    let text = format!("Incorrect API key provided: {whole}. \u{1b}[2J");
    let body = refusal("invalid_api_key", &text);
    let bench = bench(move |_, _| answer(401, &[("x-request-id", "req_1")], &body));
    let error = bench.admin.projects(true).all().unwrap_err();
    let said = format!("{error} {error:?}");
    assert!(!said.contains(&whole) && !said.contains('\u{1b}'), "{said}");
    assert!(
        said.contains("can't list the projects: status 401 invalid_api_key"),
        "{said}"
    );
    assert!(said.contains("[request req_1]"), "{said}");
    assert!(error.is_key_refused());
}

#[test]
fn what_passes_is_waited_out_and_what_changes_something_is_never_sent_twice() {
    let troubled = |n: usize| match n {
        0 => json(500, "oops"),
        1 => Vec::new(),
        2 => answer(
            429,
            &[("retry-after", "7")],
            &refusal("rate_limit_exceeded", "slow"),
        ),
        3 => answer(
            429,
            &[("retry-after-ms", "1500")],
            &refusal("rate_limit_exceeded", "slow"),
        ),
        4 => answer(
            503,
            &[
                ("retry-after", "Tue, 22 Sep 2026 00:00:30 GMT"),
                ("date", "Tue, 22 Sep 2026 00:00:00 GMT"),
            ],
            "",
        ),
        _ => json(200, &page(0..2, false)),
    };
    let patient = bench(move |n, _| troubled(n));
    assert_eq!(patient.admin.projects(true).all().unwrap().len(), 2);
    let waited = patient.clock.uptime().as_secs_f64();
    // 0.5 and 1 s with up to a quarter more, 7 s, 1.5 s, 30 s.
    assert!((40.0..40.5).contains(&waited), "{waited}");

    for first in 0..2 {
        let once = bench(move |n, _| troubled(first + n));
        let new = NewAccount {
            name: "x",
            without_key: false,
            expires_in: None,
        };
        let error = once
            .admin
            .create_service_account("proj_1", &new)
            .unwrap_err();
        assert!(error.may_have_happened(), "{error}");
        assert_eq!(once.server.asked().len(), 1);
    }
    let limited = bench(move |n, _| match n {
        0 => troubled(2),
        _ => json(200, "{\"id\":\"k\",\"deleted\":true}"),
    });
    assert!(limited.admin.delete_admin_key("k").unwrap().deleted);
    assert_eq!(limited.clock.uptime(), Duration::from_secs(7));
}

#[test]
fn the_server_may_ask_for_an_end_but_not_for_a_day() {
    for headers in [[("x-should-retry", "false")], [("retry-after", "86400")]] {
        let bench =
            bench(move |_, _| answer(429, &headers, &refusal("rate_limit_exceeded", "slow")));
        let error = bench.admin.projects(true).all().unwrap_err();
        assert_eq!(error.refusal().unwrap().attempts, 1);
    }
    let never = bench(|_, _| json(429, &refusal("rate_limit_exceeded", "slow")));
    let error = never.admin.projects(true).all().unwrap_err();
    assert_eq!(error.refusal().unwrap().attempts, 6);
    let broke = bench(|_, _| json(429, &refusal("insufficient_quota", "pay")));
    let error = broke.admin.projects(true).all().unwrap_err();
    assert!(error.refusal().unwrap().is_out_of_money());
    assert_eq!(broke.server.asked().len(), 1);
}

#[test]
fn a_created_key_is_a_secret_and_listings_are_redacted() {
    let made = Template::parse("sk-svcacct-{long:74,74}")
        .unwrap()
        .fill(3)
        .key;
    let (body, name) = (made.clone(), made.clone());
    let bench = bench(move |_, asked| match asked.method.as_str() {
        "POST" => json(
            200,
            &format!(
                "{{\"object\":\"x\",\"id\":\"user-1\",\"name\":\"n\",\"role\":\"member\",\"created_at\":1,\"api_key\":{{\"id\":\"key_1\",\"value\":\"{body}\",\"name\":\"Secret Key\",\"created_at\":1}}}}"
            ),
        ),
        _ => json(
            200,
            &format!("{{\"data\":[{{\"id\":\"key_1\",\"name\":\"{name}\"}}],\"has_more\":false}}"),
        ),
    });
    let new = NewAccount {
        name: "app",
        without_key: false,
        expires_in: Some(Duration::from_secs(3600)),
    };
    let created = bench.admin.create_service_account("proj_1", &new).unwrap();
    assert!(!format!("{created:?}").contains(&made));
    let key = created.key.unwrap();
    assert_eq!(key.value.expose(), made.as_bytes());
    assert_eq!(created.account.role.as_deref(), Some("member"));
    let asked = &bench.server.asked()[0];
    assert_eq!(asked.body, "{\"expires_in_seconds\":3600,\"name\":\"app\"}");
    assert_eq!(
        asked.target,
        "/v1/organization/projects/proj_1/service_accounts"
    );
    let rows = bench.admin.api_keys("proj_1", Access::Any).all().unwrap();
    let shown = rows[0].name.clone().unwrap();
    assert!(
        !shown.contains(&made) && shown.starts_with("sk-svcac"),
        "{shown}"
    );
}

#[test]
fn changes_are_sent_as_the_api_has_them() {
    let bench = bench(|_, asked| match asked.method.as_str() {
        "DELETE" => json(200, "{\"id\":\"x\",\"object\":\"y\",\"deleted\":true}"),
        _ => json(200, "{\"id\":\"x\",\"value\":\"v\"}"),
    });
    let admin = &bench.admin;
    admin
        .update_api_key("p", "k", &KeyChange::Scopes(vec!["api.all".into()]))
        .unwrap();
    admin
        .update_api_key("p", "k", &KeyChange::ExpiresIn(Duration::from_millis(10)))
        .unwrap();
    admin.delete_api_key("p", "k").unwrap();
    let scopes = ["a".to_owned()];
    let new = NewAccountKey {
        name: Some("n"),
        scopes: Some(&scopes),
        expires_in: None,
    };
    admin.create_service_account_key("p", "s", &new).unwrap();
    admin.set_service_account_role("p", "s", "owner").unwrap();
    admin.delete_service_account("p", "s").unwrap();
    admin.create_admin_key("n", None).unwrap();
    let asked: Vec<String> = bench
        .server
        .asked()
        .into_iter()
        .map(|a| {
            format!(
                "{} {} {}",
                a.method,
                a.target.trim_start_matches("/v1/organization/"),
                a.body
            )
        })
        .collect();
    assert_eq!(
        asked,
        [
            "POST projects/p/api_keys/k {\"scopes\":[\"api.all\"]}",
            "POST projects/p/api_keys/k {\"expires_in_seconds\":1}",
            "DELETE projects/p/api_keys/k ",
            "POST projects/p/service_accounts/s/api_keys {\"name\":\"n\",\"scopes\":[\"a\"]}",
            "POST projects/p/service_accounts/s {\"role\":\"owner\"}",
            "DELETE projects/p/service_accounts/s ",
            "POST admin_api_keys {\"name\":\"n\"}",
        ]
    );
}

#[test]
fn usage_costs_and_events_are_read_with_what_is_unknown_in_them() {
    let bench = bench(|_, asked| {
        let target = asked.target.as_str();
        if target.contains("/usage/") && !target.contains("&page=") {
            return json(
                200,
                r#"{"object":"page","data":[{"object":"bucket","start_time":0,"end_time":86400,"results":[{"object":"o","input_tokens":5,"output_tokens":6,"num_model_requests":2,"api_key_id":"key_1","model":"m","odd":[]}]}],"has_more":true,"next_page":"n=1"}"#,
            );
        }
        if target.contains("/usage/") {
            return json(200, r#"{"data":[],"has_more":false,"next_page":null}"#);
        }
        if target.contains("/costs") {
            return json(
                200,
                r#"{"data":[{"start_time":0,"end_time":1,"results":[{"amount":{"value":"0.5","currency":"usd"},"line_item":"m, input","api_key_id":"key_1"}]}],"has_more":false}"#,
            );
        }
        json(
            200,
            r#"{"data":[{"id":"audit_1","type":"api_key.created","effective_at":7,"project":{"id":"p"},"actor":{"type":"api_key","api_key":{"id":"key_9","type":"user"}},"api_key.created":{"id":"key_1","data":{"scopes":["model.read"]}}},{"id":"audit_2","type":"brand.new","effective_at":8}],"has_more":false}"#,
        )
    });
    let period = Period {
        from: 1,
        to: Some(2),
        bucket: Duration::from_secs(86_400),
    };
    let usage = bench
        .admin
        .usage(Capability::Completions, period, &["key_1", "key_2"])
        .unwrap();
    assert_eq!(
        (
            usage[0].results[0].requests(),
            usage[0].results[0].input_tokens
        ),
        (2, Some(5))
    );
    let costs = bench.admin.costs(period, &["key_1"]).unwrap();
    assert_eq!(costs[0].results[0].amount.as_ref().unwrap().value, 0.5);
    let filter = AuditFilter {
        resources: &["key_1"],
        since: Some(5),
        ..AuditFilter::default()
    };
    let events = bench.admin.audit_log(&filter).all().unwrap();
    assert_eq!(events[0].resource(), Some("key_1"));
    assert_eq!(events[0].scopes(), Some(vec!["model.read".to_owned()]));
    assert_eq!(events[0].actor.as_ref().unwrap().key(), Some("key_9"));
    assert_eq!(events[1].kind, "brand.new");
    let targets: Vec<String> = bench.server.asked().into_iter().map(|a| a.target).collect();
    assert_eq!(
        targets[1],
        "/v1/organization/usage/completions?bucket_width=1d&api_key_ids%5B%5D=key_1&api_key_ids%5B%5D=key_2&group_by%5B%5D=project_id&group_by%5B%5D=api_key_id&group_by%5B%5D=model&start_time=1&limit=31&end_time=2&page=n%3D1"
    );
    assert_eq!(
        targets[3],
        "/v1/organization/audit_logs?resource_ids%5B%5D=key_1&effective_at%5Bgte%5D=5&limit=100"
    );
}

#[test]
fn a_probe_tells_where_the_key_belongs() {
    let bench = bench(|_, _| {
        let headers = [
            ("openai-organization", "acme"),
            ("openai-project", "proj_1"),
        ];
        answer(
            200,
            &headers,
            "{\"object\":\"list\",\"data\":[{\"id\":\"m\"}]}",
        )
    });
    let probe = bench.admin.service().probe(&key(2)).unwrap();
    assert_eq!(probe.organisation.as_deref(), Some("acme"));
    assert_eq!(probe.project.as_deref(), Some("proj_1"));
    let asked = &bench.server.asked()[0];
    assert_eq!(
        (asked.method.as_str(), asked.target.as_str()),
        (&*Method::Get.to_string(), "/v1/models")
    );
    assert!(!asked.head.contains("openai-"));
}

#[test]
fn a_thousand_projects_take_the_time_that_the_limit_asks_for() {
    let bench = bench(|_, _| json(200, "{\"data\":[],\"has_more\":false}"));
    for n in 0..100 {
        let project = format!("proj_{n}");
        bench.admin.api_keys(&project, Access::Any).all().unwrap();
    }
    let bound = bench.admin.service().least_time(100);
    let took = bench.clock.uptime();
    assert!(
        took >= bound && took <= bound.mul_f64(1.05),
        "{took:?} of {bound:?}"
    );
}

#[test]
fn models_are_allowed_with_their_dates() {
    let list = |mode: &str| ModelPermissions {
        mode: mode.to_owned(),
        model_ids: vec!["gpt-x".to_owned()],
    };
    assert_eq!(list("allow_list").allows("gpt-x-2026-01-31"), Some(true));
    assert_eq!(list("allow_list").allows("gpt-x-mini"), Some(false));
    assert_eq!(list("deny_list").allows("gpt-x"), Some(false));
    assert_eq!(list("deny_list").allows("gpt-y"), Some(true));
    assert_eq!(list("perhaps").allows("gpt-x"), None);
}
