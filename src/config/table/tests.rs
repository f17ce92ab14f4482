use super::*;

fn file(text: &str) -> File {
    File {
        name: "skewer.toml".to_owned(),
        base: PathBuf::from("/r"),
        text: text.to_owned(),
        trusted: false,
    }
}

fn sources<'a>(project: &'a File) -> Sources<'a> {
    Sources {
        here: PathBuf::from("/r/here"),
        root: PathBuf::from("/r"),
        project: Some(project),
        ..Sources::default()
    }
}

fn error(text: &str) -> String {
    let file = file(text);
    Settings::resolve(&sources(&file)).unwrap_err().to_string()
}

fn shown(settings: &Settings) -> String {
    let line = |row: &Row| format!("{} = {}  # {}\n", row.setting.name, row.value, row.origin);
    settings.rows().iter().map(line).collect()
}

#[test]
fn the_stronger_source_wins_and_lists_add_up() {
    let user = File {
        name: "~/config.toml".to_owned(),
        base: PathBuf::from("/home/u/.config/skewer"),
        text: "threads = 1\nexclude = ['*.min.js']\nrules = ['mine.toml']\n[openai]\napi = 'https://x.example'".to_owned(),
        trusted: true,
    };
    let project = file(
        "threads = 2\nno-ignore = true\nexclude = [\n  'vendor',\n  'dist/**',\n]\nrules = ['rules/acme.toml']\n",
    );
    let mut sources = sources(&project);
    sources.user = Some(&user);
    sources.environment = vec![
        ("SKEWER_THREADS".into(), "3".into()),
        ("SKEWER_NO_IGNORE".into(), "false".into()),
        (
            "SKEWER_ACCEPT".into(),
            std::env::join_paths(["a", "b"]).unwrap(),
        ),
        ("SKEWER_SKIP".into(), "fire".into()),
        ("PATH".into(), "/bin".into()),
    ];
    sources.flags = vec![
        ("threads", vec!["4".into(), "5".into()]),
        ("exclude", vec!["x".into()]),
    ];
    insta::assert_snapshot!(shown(&Settings::resolve(&sources).unwrap()), @r#"
    exclude = "*.min.js"  # ~/config.toml:2
    exclude = "vendor"  # skewer.toml:4
    exclude = "dist/**"  # skewer.toml:5
    exclude = "x"  # --exclude
    accept = "a"  # environment SKEWER_ACCEPT
    accept = "b"  # environment SKEWER_ACCEPT
    honour-markers = false  # default
    no-ignore = false  # environment SKEWER_NO_IGNORE
    rules = "/home/u/.config/skewer/mine.toml"  # ~/config.toml:3
    rules = "/r/rules/acme.toml"  # skewer.toml:7
    baseline = "/r/skewer-baseline.toml"  # default
    on-incomplete = "fail"  # default
    threads = 5  # --threads
    max-depth = 16  # default
    max-member-size = "4GiB"  # default
    max-unpacked-size = "16GiB"  # default
    max-ratio = 1000  # default
    max-members = 1000000  # default
    max-seconds = 300  # default
    max-memory = "256MiB"  # default
    "#);
}

#[test]
fn every_setting_has_a_text_a_variable_and_a_default() {
    let rows = Settings::default().rows();
    assert_eq!(rows.len(), TABLE.len());
    for row in rows {
        assert!(
            row.setting.doc.ends_with('.') && !row.setting.form.is_empty(),
            "{row:?}"
        );
        assert_eq!(row.origin, Origin::Default);
        let mut sources = Sources {
            here: "/r".into(),
            ..Sources::default()
        };
        // A default that is written out is understood.
        let text = row.value.trim_matches(['"', '\'', '[', ']']);
        sources.environment = vec![(row.setting.variable.clone().into(), text.into())];
        assert!(Settings::resolve(&sources).is_ok(), "{text}");
    }
}

#[test]
fn mistakes_are_named_with_their_line() {
    let cases = [
        (
            "exclud = []",
            "skewer.toml:1: there is no setting `exclud`; did you mean `exclude`?",
        ),
        (
            "\nhonor-markers = true",
            "skewer.toml:2: there is no setting `honor-markers`; did you mean `honour-markers`?",
        ),
        (
            "no_ignore = true",
            "skewer.toml:1: there is no setting `no_ignore`; did you mean `no-ignore`?",
        ),
        (
            "colour = 1",
            "skewer.toml:1: there is no setting `colour`; `skewer config show` lists all",
        ),
        (
            "threads = true",
            "skewer.toml:1: `threads`: true can't be used; it takes a number",
        ),
        (
            "threads = 70000",
            "skewer.toml:1: `threads`: 70000 can't be used",
        ),
        (
            "exclude = 'a'",
            "skewer.toml:1: `exclude`: \"a\" can't be used; it takes a list",
        ),
        (
            "exclude = [\n'a',\n'!b']",
            "skewer.toml:3: `exclude`: the glob \"!b\" would take something back",
        ),
        (
            "on-incomplete = 'pass'",
            "skewer.toml:1: `on-incomplete`: \"pass\" can't be used; it takes \"fail\" or \"warn\"",
        ),
        (
            "baseline = ''",
            "skewer.toml:1: `baseline`: the path is empty",
        ),
        ("threads = 1\nthreads = 2", "skewer.toml:2: duplicate key"),
        ("threads = ", "skewer.toml:1: "),
    ];
    for (text, expected) in cases {
        assert!(error(text).starts_with(expected), "{text}\n{}", error(text));
    }
}

#[test]
fn a_file_can_set_nothing_but_a_scan() {
    for (name, deed) in [
        ("base-url", "name a host"),
        ("proxy", "name a host"),
        ("post_command", "name a command"),
        ("store", "name a store"),
        ("policies", "name a policy"),
        ("output", "name a file"),
        ("reveal", "say what happens to keys"),
    ] {
        let said = error(&format!("threads = 1\n{name} = 'x'"));
        assert!(
            said.starts_with(&format!("skewer.toml:2: `{name}` would {deed}")),
            "{said}"
        );
    }
    assert!(error("[store]\npath = 'x'").contains("name a store"));
    for (text, deed) in [
        (
            "[openai]\napi = 'https://evil.example'",
            "choose where keys are sent",
        ),
        ("[network]\nproxy = 'http://evil.example'", "choose a proxy"),
        (
            "[profiles.a]\nadmin-key = { command = ['x'] }",
            "choose admin keys",
        ),
        ("profiles.a.admin-key.env = 'X'", "choose admin keys"),
        (
            "[stores.a]\nkind = 'file'",
            "choose where a new key is written",
        ),
        (
            "[[consumers.a.stages]]\nkind = 'program'",
            "choose what is restarted",
        ),
        ("[audit]\nfile = 'x'", "choose where the trail goes"),
        ("[policy]\nautomatic = true", "choose what is deleted"),
    ] {
        let said = error(text);
        assert!(
            said.contains(deed) && said.contains("your own configuration"),
            "{said}"
        );
    }
}

#[test]
fn a_misspelt_variable_does_not_pass() {
    let project = file("");
    let mut sources = sources(&project);
    sources.environment = vec![("SKEWER_NO_IGNOR".into(), "1".into())];
    let said = Settings::resolve(&sources).unwrap_err().to_string();
    assert!(
        said.contains("SKEWER_NO_IGNOR: ") && said.contains("SKEWER_NO_IGNORE?"),
        "{said}"
    );
    sources.environment = vec![("SKEWER_THREADS".into(), "many".into())];
    let said = Settings::resolve(&sources).unwrap_err().to_string();
    assert!(
        said.starts_with("environment SKEWER_THREADS: `threads`: \"many\" can't"),
        "{said}"
    );
}
