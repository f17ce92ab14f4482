//! Rotations that nobody asked for: after a scan, on an alert.

use skewer::secret::Secret;

use super::house::{House, STAGES};

const ALLOWED: &str = "[policy.automatic]\nprojects = ['*']\n";

fn leak(house: &House, value: &str) {
    house.write(
        "leak.txt",
        &format!("curl -H 'Authorization: Bearer {value}'\n"),
    );
}

const SCAN: [&str; 4] = ["scan", "--verify", "--rotate", "leak.txt"];

#[test]
fn without_a_policy_there_is_a_plan_and_nothing_more() {
    let house = House::new();
    let before = house.live();
    leak(&house, &house.value);
    let (code, out, err) = house.run(&SCAN);
    assert_eq!(code, 1, "{err}");
    assert!(
        out.contains("confirmed") || out.contains(&house.key),
        "{out}"
    );
    for text in [
        "What will be done:",
        "delete key A",
        "nothing was changed: nothing starts by itself: [policy.automatic]",
        &format!("skewer rotate start {} --apply", house.key),
    ] {
        assert!(err.contains(text), "{text}: {err}");
    }
    // A policy for somebody else.
    house.configure(STAGES, "[policy.automatic]\nprojects = ['proj_other']\n");
    let (code, _, err) = house.run(&SCAN);
    assert_eq!(code, 1, "{err}");
    assert!(err.contains("does not name its project"), "{err}");
    house.configure(
        STAGES,
        "[policy.automatic]\nprojects = ['*']\nkinds = ['user']\n",
    );
    let (_, _, err) = house.run(&SCAN);
    assert!(
        err.contains("does not name keys of its kind of owner"),
        "{err}"
    );
    house.assert_as_before(&before);
    assert!(!house.path("moves").exists() && !house.path("state").exists());
}

#[test]
fn what_lives_and_is_confirmed_and_allowed_is_rotated_and_no_more_a_day() {
    let house = House::new();
    let before = house.live();
    house.configure(STAGES, ALLOWED);
    leak(&house, &house.value);
    let (code, _, err) = house.run(&SCAN);
    assert_eq!(code, 1, "keys were found: {err}");
    assert!(err.contains("took the place of"), "{err}");
    house.assert_rotated(&before);
    house.assert_kept();
    let trail = house.read("trail.jsonl");
    assert!(
        trail.contains("\"what\":\"leak\"") && trail.contains(&house.key),
        "{trail}"
    );
    // A dead key is left alone, and so is one in the file that is the store.
    let after = house.live();
    let (code, _, err) = house.run(&SCAN);
    assert_eq!(code, 1);
    assert!(
        err.contains("not rotated: it is not known to live (dead"),
        "{err}"
    );
    let (code, _, err) = house.run(&["scan", "--verify", "--rotate", "app.env"]);
    assert_eq!(code, 1);
    assert!(
        err.contains("stands only where a store of yours keeps it"),
        "{err}"
    );
    assert_eq!(house.live(), after);
    // The day's limit.
    let (_, other) = house.another();
    house.write("app.env", &format!("PORT=8080\nOPENAI_API_KEY={other}\n"));
    leak(&house, &other);
    let (code, _, err) = house.run(&SCAN);
    assert_eq!(code, 1);
    assert!(err.contains("the policy allows no more (`a-day`)"), "{err}");
    assert_eq!(house.live(), after);
}

#[test]
fn one_that_stands_still_is_in_the_status_and_in_the_way() {
    let house = House::new();
    house.configure(
        STAGES,
        "revoke-if-others-use = false\n[policy.automatic]\nprojects = ['*']\na-day = 5\n",
    );
    leak(&house, &house.value);
    house.write("fail-canary-forward", "");
    let before = house.live();
    let (code, _, err) = house.run(&SCAN);
    assert_eq!(code, 5, "{err}");
    house.assert_as_before(&before);
    // One under way is in the way of others.
    std::fs::remove_file(house.path("fail-canary-forward")).unwrap();
    house.write("slow", "");
    let mut child = house.start(&["rotate", "start", &house.key, "--apply", "--yes"]);
    house.wait_for("there");
    child.kill().unwrap();
    child.wait().unwrap();
    std::fs::remove_file(house.path("slow")).unwrap();
    let (code, _, err) = house.run(&SCAN);
    assert_eq!(code, 1, "{err}");
    assert!(err.contains("of it has not ended"), "{err}");
}

#[test]
fn what_can_not_be_rotated_says_why() {
    let house = House::new();
    let before = house.live();
    house.configure(STAGES, ALLOWED);
    let (other, value) = house.another();
    leak(&house, &value);
    let (code, _, err) = house.run(&SCAN);
    assert_eq!(code, 1, "{err}");
    assert!(err.contains("nobody is known to use this key"), "{err}");
    assert!(house.live().contains(&other));
    house.assert_as_before(&before);
    // In CI the journal has to be named, before anything is searched.
    let mut command = house.command(&SCAN);
    let (code, _, err) = house.told(command.env("CI", "true").output().unwrap());
    assert_eq!(code, 2);
    assert!(err.contains("--journal FILE"), "{err}");
    let (code, _, err) = house.run(&["scan", "--rotate", "leak.txt"]);
    assert_eq!(code, 2);
    assert!(err.contains("--verify"), "{err}");
}

#[test]
fn history_rotates_as_a_scan_does() {
    let house = House::new();
    let before = house.live();
    house.configure(STAGES, ALLOWED);
    let git = |arguments: &[&str]| {
        let status = std::process::Command::new("git")
            .args(arguments)
            .current_dir(house.path("repo"))
            .env("GIT_CONFIG_GLOBAL", "/dev/null")
            .env("GIT_CONFIG_SYSTEM", "/dev/null")
            .status()
            .unwrap();
        assert!(status.success());
    };
    std::fs::create_dir(house.path("repo")).unwrap();
    git(&["init", "-q"]);
    house.write("repo/leak.txt", &house.value);
    git(&["add", "."]);
    let who = ["-c", "user.name=a", "-c", "user.email=a@example.com"];
    git(&[&who[..], &["commit", "-qm", "x"]].concat());
    let (code, _, err) = house.run(&["history", "--verify", "--rotate", "repo"]);
    assert_eq!(code, 1, "{err}");
    house.assert_rotated(&before);
}

fn alert(command: &str, fields: &str) -> String {
    match command {
        "add" | "delete" => format!(
            r#"{{"version":1,"origin":{{"name":"node","module":"wazuh-execd"}},"command":"{command}","parameters":{{"extra_args":["--yes"],"alert":{{"data":{{{fields}}}}},"program":"skewer"}}}}
"#
        ),
        _ => format!(
            r#"{{"wazuh":{{"active_response":{{"type":"stateless"}}}},{fields},"command":"{command}"}}
"#
        ),
    }
}

fn leaked(house: &House, id: &str) -> String {
    let print = Secret::new(house.value.as_bytes().to_vec()).fingerprint();
    format!(
        r#""skewer_event":"leak","skewer_key":"{print}","skewer_key_id":"{id}","skewer_place":"; rm -rf /""#
    )
}

#[test]
fn an_alert_is_verified_again_and_passes_the_same_gate() {
    let house = House::new();
    let before = house.live();
    let ours = leaked(&house, &house.key);
    for command in ["add", "enable"] {
        let (code, out, err) = house.run_with(&["respond"], &alert(command, &ours));
        assert_eq!((code, &*out), (0, ""), "{err}");
        assert!(
            err.contains("What will be done:") && err.contains("nothing starts by itself"),
            "{err}"
        );
        house.assert_as_before(&before);
    }
    house.configure(STAGES, ALLOWED);
    for (input, code, why) in [
        (alert("delete", &ours), 0, "not taken back"),
        (alert("disable", &ours), 0, "not taken back"),
        (
            alert("add", &leaked(&house, "key_other")),
            3,
            "nothing is done for either",
        ),
        (
            alert("add", r#""skewer_event":"step","skewer_key_id":"key_1""#),
            2,
            "no leaked key",
        ),
        (
            alert("add", r#""skewer_event":"leak","skewer_key_id":"$(id)""#),
            2,
            "is no id",
        ),
        (
            alert(
                "add",
                r#""skewer_event":"leak","skewer_key_id":"key_nobody""#,
            ),
            3,
            "no key key_nobody",
        ),
        ("hello".to_owned(), 2, "no JSON"),
    ] {
        let (status, out, err) = house.run_with(&["respond"], &input);
        assert_eq!((status, &*out), (code, ""), "{why}: {err}");
        assert!(err.contains(why), "{why}: {err}");
        house.assert_as_before(&before);
    }
    let (other, _) = house.another();
    let unknown = format!(r#""skewer_event":"leak","skewer_key_id":"{other}""#);
    let (code, _, err) = house.run_with(&["respond"], &alert("add", &unknown));
    assert_eq!(code, 3, "{err}");
    assert!(
        err.contains("nobody can verify it") && err.contains("Revocation"),
        "{err}"
    );
    // Wazuh says that it is being dealt with.
    let stateful = format!("{}{{\"command\":\"abort\"}}\n", alert("add", &ours));
    let (code, out, err) = house.run_with(&["respond", "--stateful"], &stateful);
    assert_eq!(code, 0, "{err}");
    assert!(
        out.contains("check_keys") && out.contains(&house.key),
        "{out}"
    );
    house.assert_as_before(&before);
    let stateful = format!("{}{{\"command\":\"continue\"}}\n", alert("add", &ours));
    let (code, _, err) = house.run_with(&["respond", "--stateful"], &stateful);
    assert_eq!(code, 0, "{err}");
    house.assert_rotated(&before);
    house.assert_kept();
}

#[test]
fn an_id_alone_is_enough_if_a_store_hands_the_key_out() {
    let house = House::new();
    let before = house.live();
    house.configure(STAGES, ALLOWED);
    let named = format!(r#""skewer_event":"leak","skewer_key_id":"{}""#, house.key);
    let (code, _, err) = house.run_with(&["respond"], &alert("enable", &named));
    assert_eq!(code, 0, "{err}");
    house.assert_rotated(&before);
}
