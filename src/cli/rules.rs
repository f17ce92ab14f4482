//! `skewer rules`: what is looked for, and proof that it is found.

use std::io::{self, Write};

use serde::Serialize;

use super::settings::SettingFlags;
use super::{Context, Exit};
use crate::matcher::Matcher;
use crate::rules::{Rule, Template};
use crate::secret::Masked;

/// Look at the rules, or try them.
#[derive(clap::Args)]
pub(super) struct Rules {
    #[command(subcommand)]
    action: Action,
}

#[derive(clap::Subcommand)]
enum Action {
    /// Print every rule.
    List {
        /// Print them for programs.
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        settings: SettingFlags,
    },
    /// Fill every rule's templates with random keys and prove that it finds what it must and
    /// nothing else; exit status 1 if one does not, or has nothing to be tried with.
    Test {
        #[command(flatten)]
        settings: SettingFlags,
    },
}

impl Rules {
    pub(super) fn run(self, context: &Context) -> anyhow::Result<Exit> {
        match self.action {
            Action::List { json, settings } => list(json, &settings),
            Action::Test { settings } => test(context, &settings),
        }
    }
}

#[derive(Serialize)]
struct Listed<'a> {
    id: &'a str,
    title: &'a str,
    kind: &'a str,
    severity: &'a str,
    anchors: &'a [String],
    remedy: &'a str,
    built_in: bool,
    origin: &'a str,
}

impl<'a> From<&'a Rule> for Listed<'a> {
    fn from(rule: &'a Rule) -> Self {
        Self {
            id: &rule.info.id,
            title: &rule.info.title,
            kind: &rule.info.kind,
            severity: rule.info.severity.as_str(),
            anchors: &rule.anchors,
            remedy: &rule.info.remedy,
            built_in: rule.built_in,
            origin: &rule.origin,
        }
    }
}

fn list(json: bool, settings: &SettingFlags) -> anyhow::Result<Exit> {
    let rules = settings.load()?.rules()?;
    let mut out = io::stdout().lock();
    if json {
        let all: Vec<_> = rules.iter().map(Listed::from).collect();
        writeln!(out, "{}", serde_json::to_string_pretty(&all)?)?;
        return Ok(Exit::Nothing);
    }
    let mut rows = vec![["RULE", "KIND", "SEVERITY", "ANCHORS", "FROM"].map(str::to_owned)];
    rows.extend(rules.iter().map(|rule| {
        [
            rule.info.id.clone(),
            // A user's texts may hold anything.
            shown(&rule.info.kind),
            rule.info.severity.as_str().to_owned(),
            shown(&rule.anchors.join(" ")),
            origin(rule),
        ]
    }));
    out.write_all(columns(&rows).as_bytes())?;
    Ok(Exit::Nothing)
}

fn shown(text: &str) -> String {
    Masked::vouched(text).to_string()
}

fn origin(rule: &Rule) -> String {
    match rule.built_in {
        true => "built in".to_owned(),
        false => shown(&rule.origin),
    }
}

pub(super) fn columns<const N: usize>(rows: &[[String; N]]) -> String {
    let width = |at: usize| rows.iter().map(|row| row[at].chars().count()).max();
    let widths: Vec<usize> = (0..N).map(|at| width(at).unwrap_or(0)).collect();
    let line = |row: &[String; N]| {
        let cells = row.iter().zip(&widths);
        let line: String = cells.map(|(cell, w)| format!("{cell:w$}  ")).collect();
        format!("{}\n", line.trim_end())
    };
    rows.iter().map(line).collect()
}

/// How often each template is filled.
const SEEDS: u64 = 25;

/// What came of one rule's templates.
struct Tried {
    found: usize,
    refused: usize,
    /// The templates that failed, and how.
    failures: Vec<String>,
}

/// Fills every template of a rule. A template is not a key, so it may be shown; what it was filled
/// with may not.
fn try_out(rule: &Rule, matcher: &Matcher) -> Tried {
    let mut tried = Tried {
        found: 0,
        refused: 0,
        failures: Vec::new(),
    };
    let mut check =
        |kind: &str, templates: &[Template], wrong: &dyn Fn(&Template, u64) -> Option<String>| {
            let mut right = 0;
            for template in templates {
                match (0..SEEDS).find_map(|seed| Some((seed, wrong(template, seed)?))) {
                    None => right += 1,
                    Some((seed, why)) => tried.failures.push(format!(
                        "{kind} {} (seed {seed}): {why}",
                        matcher.redact(template.source().as_bytes())
                    )),
                }
            }
            right
        };
    let id = &rule.info.id;
    let found = check("must match", &rule.must_match, &|template, seed| {
        let filled = template.fill(seed);
        let hits = matcher.search_all(filled.text.as_bytes());
        match hits.as_slice() {
            [] => Some("nothing is found".to_owned()),
            [hit] if hit.rule.id != *id => Some(format!("it is found by `{}`", hit.rule.id)),
            [hit] if hit.secret.expose() != filled.key.as_bytes() => Some(format!(
                "{} bytes are found, not the {} of the key",
                hit.secret.expose().len(),
                filled.key.len()
            )),
            [_] => None,
            many => Some(format!("{} keys are found, not one", many.len())),
        }
    });
    let refused = check("must not match", &rule.must_not_match, &|template, seed| {
        let hits = matcher.search_all(template.fill(seed).text.as_bytes());
        let hit = hits.iter().any(|hit| hit.rule.id == *id);
        hit.then(|| "it is found".to_owned())
    });
    (tried.found, tried.refused) = (found, refused);
    if rule.must_match.is_empty() {
        tried
            .failures
            .push("it has no `must_match`, so nothing shows that it works".to_owned());
    }
    tried
}

fn test(context: &Context, settings: &SettingFlags) -> anyhow::Result<Exit> {
    let rules = settings.load()?.rules()?;
    let matcher = Matcher::new(&rules, None);
    let mut out = io::stdout().lock();
    let mut rows = vec![["RULE", "FOUND", "REFUSED", "RESULT", "FROM"].map(str::to_owned)];
    let mut failures = Vec::new();
    for rule in rules.iter() {
        let tried = try_out(rule, &matcher);
        let result = match tried.failures.is_empty() {
            true => "ok",
            false => "FAILED",
        };
        rows.push([
            rule.info.id.clone(),
            format!("{}/{}", tried.found, rule.must_match.len()),
            format!("{}/{}", tried.refused, rule.must_not_match.len()),
            result.to_owned(),
            origin(rule),
        ]);
        let named = |why: String| format!("{}: {why}", rule.info.id);
        failures.extend(tried.failures.into_iter().map(named));
    }
    if !context.quiet {
        out.write_all(columns(&rows).as_bytes())?;
    }
    for failure in &failures {
        writeln!(out, "{failure}")?;
    }
    Ok(match failures.is_empty() {
        true => Exit::Nothing,
        false => Exit::Found,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::Rules as All;

    fn mine(templates: &str) -> All {
        let text = format!(
            "[[rule]]\nid = 'acme'\ntitle = 'A'\nkind = 'token'\nseverity = 'low'\nremedy = 'R'\nanchors = ['acme_']\n{templates}\n[rule.shape.token]\nprefix = 'acme_'\nalphabet = 'alnum'\nlengths = [24]\n"
        );
        All::with_files([("mine.toml", text.as_str())]).unwrap()
    }

    fn failures(templates: &str) -> Vec<String> {
        let rules = mine(templates);
        let matcher = Matcher::new(&rules, None);
        let acme = rules.iter().find(|rule| rule.info.id == "acme").unwrap();
        try_out(acme, &matcher).failures
    }

    #[test]
    fn every_built_in_rule_keeps_its_promises() {
        let rules = All::built_in();
        let matcher = Matcher::new(&rules, None);
        for rule in rules.iter() {
            let tried = try_out(rule, &matcher);
            assert_eq!(tried.failures, Vec::<String>::new());
            assert_eq!(tried.found, rule.must_match.len());
            assert_eq!(tried.refused, rule.must_not_match.len());
        }
    }

    #[test]
    fn a_broken_promise_is_named_with_its_template_and_no_key() {
        assert!(
            failures(
                "must_match = ['x=[[acme_{alnum:24}]]']\nmust_not_match = ['acme_{alnum:23}']"
            )
            .is_empty()
        );
        let said = failures(
            "must_match = ['acme_{alnum:23}', 'sk-proj-{long:74,74}', 'x=acme_{alnum:24}']\nmust_not_match = ['acme_{alnum:24}']",
        );
        insta::assert_snapshot!(said.join("\n"), @"
        must match acme_{alnum:23} (seed 0): nothing is found
        must match sk-proj-{long:74,74} (seed 0): it is found by `openai-project`
        must match x=acme_{alnum:24} (seed 0): 29 bytes are found, not the 31 of the key
        must not match acme_{alnum:24} (seed 0): it is found
        ");
        assert!(failures("")[0].contains("no `must_match`"));
    }
}
