//! What goes wrong on purpose: every row of the reference's table of answers, and what happens to
//! connections. The control endpoint, which brings faults from outside.

use serde_json::{Value, json};

use super::*;
use crate::sandbox::{Fault, Generation, What};

fn project_key(running: &Running) -> Secret {
    running.with(|w| {
        let project = w.projects[0].id.clone();
        w.keys
            .iter()
            .find(|k| k.project.as_ref() == Some(&project))
            .unwrap()
            .value
            .clone()
    })
}

fn probe(running: &Running) -> Got {
    call_with(running, &project_key(running), "GET", "/v1/models", "")
}

#[test]
fn every_row_of_the_table_can_be_answered() {
    let running = start();
    let project = running.with(|w| w.projects[0].id.clone());
    let quota = "insufficient_quota";
    let invalid = "invalid_request_error";
    for (what, status, kind, code, words) in [
        (
            What::IncorrectApiKey,
            401,
            invalid,
            json!("invalid_api_key"),
            "Incorrect API key provided: sk-svcac****",
        ),
        (
            What::AccountDeactivated,
            401,
            invalid,
            json!("account_deactivated"),
            "deactivated account",
        ),
        (
            What::MissingScopes,
            401,
            invalid,
            Value::Null,
            "insufficient permissions for this operation. Missing scopes: api.model.read",
        ),
        (
            What::ForbiddenScope,
            403,
            invalid,
            Value::Null,
            "Missing scopes: api.model.read",
        ),
        (
            What::MismatchedOrganization,
            401,
            invalid,
            json!("mismatched_organization"),
            "OpenAI-Organization header",
        ),
        (
            What::MismatchedProject,
            401,
            invalid,
            json!("mismatched_project"),
            "OpenAI-Project header",
        ),
        (
            What::NoOrganization,
            401,
            invalid,
            json!("no_organization"),
            "member of an organization",
        ),
        (
            What::IpNotAuthorized,
            401,
            invalid,
            json!("ip_not_authorized"),
            "IP address",
        ),
        (
            What::ModelNotFound,
            403,
            invalid,
            json!("model_not_found"),
            &format!("Project `{project}` does not have access"),
        ),
        (
            What::UnsupportedRegion,
            403,
            "request_forbidden",
            json!("unsupported_country_region_territory"),
            "not supported",
        ),
        (
            What::InsufficientQuota,
            429,
            quota,
            json!("insufficient_quota"),
            "quota",
        ),
        (
            What::CreditBalanceExhausted,
            429,
            quota,
            json!("credit_balance_exhausted"),
            "quota",
        ),
        (
            What::OrganizationSpendLimitExceeded,
            429,
            quota,
            json!("organization_spend_limit_exceeded"),
            "quota",
        ),
        (
            What::ProjectSpendLimitExceeded,
            429,
            quota,
            json!("project_spend_limit_exceeded"),
            "quota",
        ),
        (
            What::OrganizationUsageLimitExceeded,
            429,
            quota,
            json!("organization_usage_limit_exceeded"),
            "quota",
        ),
        (
            What::RateLimitExceeded,
            429,
            "requests",
            json!("rate_limit_exceeded"),
            "Rate limit reached",
        ),
        (
            What::SlowDown,
            429,
            "requests",
            json!("slow_down"),
            "slow down",
        ),
        (
            What::ServerError,
            500,
            "server_error",
            Value::Null,
            "server had an error",
        ),
        (
            What::Unavailable,
            503,
            "server_error",
            Value::Null,
            "server had an error",
        ),
    ] {
        running.fault(Fault::new(what).on("GET /v1/models").times(1));
        let got = probe(&running);
        let error = &got.json()["error"];
        assert_eq!(
            (got.status, error["type"].as_str(), &error["code"]),
            (status, Some(kind), &code),
            "{what:?}"
        );
        assert!(
            error["message"].as_str().unwrap().contains(words),
            "{what:?}: {error}"
        );
        assert!(error.get("param").is_some());
        assert!(got.header("x-request-id").is_some());
        assert_eq!(probe(&running).status, 200, "{what:?} struck once");
    }
}

#[test]
fn some_answers_are_none_of_the_apis() {
    let running = start();
    for (what, status, kind) in [
        (What::BadGateway, 502, "text/html; charset=utf-8"),
        (What::CaptivePortal, 200, "text/html; charset=utf-8"),
        (What::Redirect, 302, "text/html"),
        (What::ErrorInSuccess, 200, "application/json"),
        (What::WrongShape, 200, "application/json"),
    ] {
        running.fault(Fault::new(what).times(1));
        let got = probe(&running);
        assert_eq!(
            (got.status, got.header("content-type")),
            (status, Some(kind)),
            "{what:?}"
        );
        match what {
            What::Redirect => {
                assert_eq!(got.header("location"), Some("http://127.0.0.1:1/v1/models"))
            }
            What::ErrorInSuccess => assert_eq!(got.json()["error"]["code"], "invalid_api_key"),
            What::WrongShape => assert!(got.json()["data"].is_object()),
            _ => assert!(got.body.contains("<html>")),
        }
        if kind != "application/json" {
            assert_eq!(got.header("openai-organization"), None);
        }
    }
}

#[test]
fn connections_are_cut_in_four_ways() {
    use std::io::ErrorKind::{ConnectionReset, UnexpectedEof};
    let running = start();
    let path = format!("{}/service_accounts", project_path(&running));
    let key = bearer(&running.admin_key());
    let create = |name: &str| {
        let headers = [("authorization", key.as_str())];
        send(
            &running,
            "POST",
            &path,
            &headers,
            &json!({"name": name}).to_string(),
        )
    };
    for (what, kind, made) in [
        (What::Reset, ConnectionReset, false),
        (What::HangUp, UnexpectedEof, false),
        (What::LoseAnswer, UnexpectedEof, true),
        (What::CutBody, UnexpectedEof, true),
    ] {
        running.fault(Fault::new(what).on("POST *").times(1));
        let name = format!("{what:?}");
        assert_eq!(create(&name).unwrap_err().kind(), kind, "{what:?}");
        let accounts = get(&running, &format!("{path}?limit=100"));
        assert_eq!(accounts.to_string().contains(&name), made, "{what:?}");
        let status = running.with(|w| {
            w.requests
                .iter()
                .rev()
                .find(|r| r.method == "POST")
                .unwrap()
                .status
        });
        assert_eq!(status, if what == What::CutBody { 200 } else { 0 });
        assert_eq!(create("next").unwrap().status, 200);
    }
}

#[test]
fn a_cut_body_has_its_whole_head() {
    let running = start();
    running.fault(Fault::new(What::CutBody));
    let mut stream = TcpStream::connect(running.address()).unwrap();
    let key = bearer(&project_key(&running));
    stream
        .write_all(
            format!("GET /v1/models HTTP/1.1\r\nhost: x\r\nauthorization: {key}\r\n\r\n")
                .as_bytes(),
        )
        .unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    let (head, body) = text.split_once("\r\n\r\n").unwrap();
    let length: usize = head
        .lines()
        .find_map(|l| l.strip_prefix("content-length: "))
        .unwrap()
        .parse()
        .unwrap();
    assert!(head.starts_with("HTTP/1.1 200"));
    assert!(
        !body.is_empty() && body.len() < length,
        "{} of {length}",
        body.len()
    );
}

#[test]
fn slow_answers_take_real_time() {
    let running = start();
    for what in [What::Slow, What::SlowAnswer] {
        running.fault(Fault::new(what).delay_ms(60).times(1));
        let before = std::time::Instant::now();
        assert_eq!(probe(&running).status, 200);
        assert!(before.elapsed() >= Duration::from_millis(60));
    }
}

#[test]
fn a_spell_of_false_401s_ends() {
    let running = start();
    running.fault(Fault::new(What::IncorrectApiKey).on("/v1/models").until(60));
    assert_eq!((probe(&running).status, probe(&running).status), (401, 401));
    running.clock().advance(Duration::from_secs(60));
    assert_eq!(probe(&running).status, 200);
}

#[test]
fn listings_may_repeat_or_never_end() {
    let running = start();
    let path = "/v1/organization/projects?limit=2";
    let honest = get(&running, path);
    let last = honest["last_id"].as_str().unwrap();
    running.fault(Fault::new(What::RepeatedPage));
    let again = get(&running, &format!("{path}&after={last}"));
    assert_eq!(again, honest);
    running.heal();
    running.fault(Fault::new(What::EndlessPages));
    let mut seen = std::collections::HashSet::new();
    let mut after = String::new();
    for _ in 0..20 {
        let page = get(&running, &format!("{path}{after}"));
        assert_eq!(page["has_more"], true);
        let rows = page["data"].as_array().unwrap();
        assert!(
            rows.iter().all(|row| seen.insert(row["id"].to_string())),
            "always new rows"
        );
        after = format!("&after={}", page["last_id"].as_str().unwrap());
    }
    running.heal();
    running.fault(Fault::new(What::RepeatedPage));
    let start = crate::sandbox::Clock::START;
    let page = get(
        &running,
        &format!(
            "/v1/organization/usage/completions?start_time={}&limit=1",
            start - 9 * 86_400
        ),
    );
    let next = page["next_page"].as_str().unwrap();
    let same = get(
        &running,
        &format!(
            "/v1/organization/usage/completions?start_time={}&limit=1&page={next}",
            start - 9 * 86_400
        ),
    );
    assert_eq!(page, same);
}

#[test]
fn an_admin_key_may_be_revoked_in_the_middle() {
    let running = start();
    running.fault(Fault::new(What::RevokeAdminKey).skip(2).times(1));
    let status = || admin(&running, "GET", "/v1/organization/projects", "").code();
    assert_eq!((status().0, status().0), (200, 200));
    assert_eq!(status(), (401, json!("invalid_api_key")));
    assert_eq!(status(), (401, json!("invalid_api_key")));
    assert!(running.with(|w| w.keys[0].deleted.is_some()));
}

#[test]
fn each_endpoint_has_a_bucket_of_its_own() {
    let running = start();
    running.with(|w| w.settings.per_minute = 7);
    let status = |path: &str| {
        let got = admin(&running, "GET", path, "");
        assert_eq!(got.header("retry-after"), None);
        assert!(
            !got.headers
                .iter()
                .any(|(name, _)| name.starts_with("x-ratelimit"))
        );
        got.status
    };
    for path in ["/v1/organization/projects", "/v1/organization/users"] {
        let answers: Vec<u16> = (0..9).map(|_| status(path)).collect();
        assert_eq!(
            answers,
            [200, 200, 200, 200, 200, 200, 200, 429, 429],
            "{path}"
        );
    }
    let key = project_path(&running);
    let other = running.with(|w| w.projects[1].id.clone());
    for _ in 0..7 {
        assert_eq!(status(&format!("{key}/api_keys")), 200);
    }
    assert_eq!(
        status(&format!("/v1/organization/projects/{other}/api_keys")),
        429,
        "one bucket for all projects"
    );
    running.clock().advance(Duration::from_secs(9));
    assert_eq!(
        (
            status("/v1/organization/users"),
            status("/v1/organization/users")
        ),
        (200, 429)
    );
    assert_eq!(
        probe(&running).status,
        200,
        "the data plane has other limits"
    );
    running.with(|w| w.settings.retry_after = true);
    let got = admin(&running, "GET", "/v1/organization/users", "");
    assert_eq!((got.status, got.header("retry-after")), (429, Some("9")));
}

#[test]
fn unknown_fields_and_values_come_on_request() {
    let running = start();
    let path = format!("{}/api_keys", project_path(&running));
    running.with(|w| w.settings.unknown_fields = true);
    let page = get(&running, &path);
    assert!(page["x_new"].is_object() && page["data"][0]["owner"]["x_new"].is_object());
    assert_ne!(page["data"][0]["owner"]["type"], "unheard_of");
    running.with(|w| (w.settings.unknown_fields, w.settings.unknown_values) = (false, true));
    let page = get(&running, &path);
    assert!(page.get("x_new").is_none());
    assert_eq!(page["data"][0]["owner"]["type"], "unheard_of");
}

#[test]
fn a_key_sent_to_the_sandbox_leaves_a_trace_without_its_value() {
    let running = start();
    let value = project_key(&running);
    probe(&running);
    let seen = running.with(|w| w.requests.back().cloned()).unwrap();
    assert_eq!(seen.bearer, Some(value.fingerprint()));
    let text = running.with(|w| format!("{w:?}"));
    assert!(!text.contains(&*String::from_utf8_lossy(value.expose())));
}

#[test]
fn the_control_endpoint_moves_the_organisation_from_outside() {
    let running = start();
    let ask = |method: &str, path: &str, body: &Value| {
        let body = if body.is_null() {
            String::new()
        } else {
            body.to_string()
        };
        send(
            &running,
            method,
            &format!("/_sandbox/{path}"),
            &[("content-type", "application/json")],
            &body,
        )
        .unwrap()
    };
    let now = running.clock().milliseconds();
    assert_eq!(
        ask("POST", "clock", &json!({"advance": 1.5})).json()["now_ms"],
        now + 1500
    );
    assert_eq!(
        ask("POST", "clock", &json!({"set": 5})).json()["now_ms"],
        5000
    );
    assert_eq!(ask("GET", "clock", &Value::Null).json()["now_ms"], 5000);
    assert_eq!(ask("POST", "clock", &json!({"retreat": 5})).status, 400);
    running.clock().set(crate::sandbox::Clock::START);
    assert_eq!(
        ask("POST", "settings", &json!({"generation": "old"})).status,
        200
    );
    assert_eq!(running.with(|w| w.settings.generation), Generation::Old);
    assert_eq!(
        ask("GET", "settings", &Value::Null).json()["generation"],
        "old"
    );
    assert_eq!(
        ask("POST", "settings", &json!({"generations": "old"})).status,
        400
    );
    assert_eq!(
        ask(
            "POST",
            "faults",
            &json!({"what": "server_error", "on": "GET /v1/models"})
        )
        .status,
        200
    );
    assert_eq!(probe(&running).status, 500);
    assert_eq!(
        ask("GET", "faults", &Value::Null)
            .json()
            .as_array()
            .unwrap()
            .len(),
        1
    );
    assert_eq!(ask("DELETE", "faults", &Value::Null).json(), json!([]));
    assert_eq!(probe(&running).status, 200);
    assert_eq!(
        ask("POST", "faults", &json!({"what": "everything"})).status,
        400
    );
    let (user, project) = running.with(|w| (w.users[0].id.clone(), w.projects[0].id.clone()));
    let made = ask(
        "POST",
        "keys",
        &json!({"name": "mine", "form": "project", "user": user, "project": project}),
    )
    .json();
    let value = Secret::new(made["value"].as_str().unwrap().into());
    assert_eq!(
        call_with(&running, &value, "GET", "/v1/models", "").status,
        200
    );
    let id = made["id"].as_str().unwrap();
    assert_eq!(
        ask("GET", &format!("keys/{id}"), &Value::Null).json()["value"],
        made["value"]
    );
    assert_eq!(
        ask("DELETE", &format!("keys/{id}"), &Value::Null).json()["lives"],
        false
    );
    assert_eq!(
        call_with(&running, &value, "GET", "/v1/models", "").status,
        401
    );
    assert_eq!(
        ask("POST", "keys", &json!({"name": "x", "form": "project"})).status,
        400
    );
    assert_eq!(
        ask(
            "POST",
            "keys",
            &json!({"name": "x", "form": "project", "user": "user-x"})
        )
        .status,
        404
    );
    assert_eq!(ask("GET", "keys/key_x", &Value::Null).status, 404);
    let state = ask("GET", "state", &Value::Null);
    assert_eq!(
        state.json()["keys"].as_array().unwrap().len(),
        running.with(|w| w.keys.len())
    );
    assert!(!state.body.contains(made["value"].as_str().unwrap()));
    assert_eq!(
        ask("GET", "requests", &Value::Null)
            .json()
            .as_array()
            .unwrap()
            .len(),
        4
    );
}

#[test]
fn a_sandbox_that_is_dropped_is_gone() {
    let running = start();
    let address = running.address();
    assert!(address.ip().is_loopback());
    let idle = TcpStream::connect(address).unwrap();
    drop(running);
    assert!(TcpStream::connect(address).is_err());
    drop(idle);
    let again = Sandbox::start(Options {
        port: address.port(),
        ..Options::default()
    });
    assert_eq!(
        again.map(|r| r.address()).ok(),
        Some(address),
        "its port is free again"
    );
}
