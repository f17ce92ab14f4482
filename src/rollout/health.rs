//! Health checks: a program, an address that answers, a number that Prometheus knows.

use std::time::Duration;

use serde::Deserialize;

use super::{Health, Outside, RolloutError};
use crate::config::{ConfigError, Credential, Section, time_span};
use crate::http::{Address, Method, Request};
use crate::process::Program;
use crate::secret::Secret;
use crate::store::rest::{self, Rest};

/// A kind of health check.
struct Kind {
    name: &'static str,
    open: fn(&Section, &Outside<'_>) -> Result<Box<dyn Health>, ConfigError>,
}

/// The kinds.
#[rustfmt::skip]
const KINDS: &[Kind] = &[
    Kind { name: "program", open: program },
    Kind { name: "http", open: http },
    Kind { name: "prometheus", open: prometheus },
];

/// Opens what a section describes.
pub(super) fn open(
    section: &Section,
    outside: &Outside<'_>,
) -> Result<Box<dyn Health>, ConfigError> {
    let kind = section.choose(KINDS, |kind| kind.name)?;
    (kind.open)(section, outside)
}

fn ill(target: &str, reason: String) -> RolloutError {
    RolloutError::Failed {
        target: target.to_owned(),
        reason,
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ProgramSettings {
    /// Ends with 0 if all is well.
    command: Vec<String>,
    #[serde(default = "minute", deserialize_with = "time_span")]
    limit: Duration,
}

fn minute() -> Duration {
    Duration::from_secs(60)
}

struct Asked(Program);

fn program(section: &Section, _: &Outside<'_>) -> Result<Box<dyn Health>, ConfigError> {
    let settings: ProgramSettings = section.read()?;
    if settings.command.is_empty() {
        return Err(section.invalid("`command` names a program"));
    }
    Ok(Box::new(Asked(Program {
        command: settings.command,
        directory: None,
        environment: Vec::new(),
        limit: settings.limit,
    })))
}

impl Health for Asked {
    fn question(&self) -> String {
        format!("{} ends with 0", self.0.command.join(" "))
    }

    fn check(&self) -> Result<(), RolloutError> {
        let target = self.0.name();
        let output = self.0.run(&Secret::new(Vec::new()));
        let output = output.map_err(|error| ill(&target, error.to_string()))?;
        match output.status.success() {
            true => Ok(()),
            false => Err(ill(
                &target,
                format!("{}: {}", output.status, output.stderr),
            )),
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct HttpSettings {
    /// Answers with a status of 200 to 299 if all is well.
    address: String,
    ca: Option<String>,
    /// Sent as a bearer token.
    token: Option<Credential>,
}

struct Page {
    rest: Rest,
    address: Address,
    token: Option<Secret>,
}

fn http(section: &Section, outside: &Outside<'_>) -> Result<Box<dyn Health>, ConfigError> {
    let settings: HttpSettings = section.read()?;
    Ok(Box::new(page(
        section,
        outside,
        &settings.address,
        settings.ca.as_deref(),
        settings.token.as_ref(),
    )?))
}

fn page(
    section: &Section,
    outside: &Outside<'_>,
    address: &str,
    ca: Option<&str>,
    token: Option<&Credential>,
) -> Result<Page, ConfigError> {
    let address = rest::address(section, address)?;
    let client = rest::client(section, ca, outside)?;
    let token = token.map(|token| rest::credential(section, "token", token, outside));
    Ok(Page {
        rest: Rest::new(client, address.clone(), &address.to_string(), &[]),
        address,
        token: token.transpose()?,
    })
}

impl Page {
    fn get(&self, address: Address) -> Result<crate::http::Answer, RolloutError> {
        let mut request = Request::new(Method::Get, address);
        if let Some(token) = &self.token {
            request = request.secret_header("authorization", "Bearer", token);
        }
        Ok(self.rest.send("ask it", request)?)
    }
}

impl Health for Page {
    fn question(&self) -> String {
        format!("GET {} is answered with 200 to 299", self.address)
    }

    fn check(&self) -> Result<(), RolloutError> {
        let answer = self.get(self.address.clone())?;
        Ok(self.rest.done("be healthy", &answer)?)
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PrometheusSettings {
    /// The server, without `/api/v1`.
    address: String,
    ca: Option<String>,
    token: Option<Credential>,
    /// What is asked; its answer is one number.
    query: String,
    /// All is well up to this.
    at_most: f64,
    /// Whether no number at all is well, too: a counter of errors that never was.
    #[serde(default)]
    none_is_well: bool,
}

struct Number {
    page: Page,
    query: String,
    at_most: f64,
    none_is_well: bool,
}

fn prometheus(section: &Section, outside: &Outside<'_>) -> Result<Box<dyn Health>, ConfigError> {
    let settings: PrometheusSettings = section.read()?;
    if !settings.at_most.is_finite() {
        return Err(section.invalid("`at_most` is a number"));
    }
    Ok(Box::new(Number {
        page: page(
            section,
            outside,
            &settings.address,
            settings.ca.as_deref(),
            settings.token.as_ref(),
        )?,
        query: settings.query,
        at_most: settings.at_most,
        none_is_well: settings.none_is_well,
    }))
}

/// An instant query's answer. Facts: Prometheus' HTTP API, `/api/v1/query`.
#[derive(Deserialize)]
struct Queried {
    data: Data,
}

#[derive(Deserialize)]
#[serde(tag = "resultType", content = "result", rename_all = "snake_case")]
enum Data {
    Vector(Vec<Sample>),
    Scalar((f64, String)),
}

#[derive(Deserialize)]
struct Sample {
    value: (f64, String),
}

impl Health for Number {
    fn question(&self) -> String {
        format!(
            "{}: {} is at most {}",
            self.page.address, self.query, self.at_most
        )
    }

    fn check(&self) -> Result<(), RolloutError> {
        let target = self.page.address.to_string();
        let address = self.page.address.join(["api", "v1", "query"]);
        let answer = self.page.get(address.query("query", &self.query))?;
        let queried: Queried = self.page.rest.parse("answer the query", &answer)?;
        let number = match queried.data {
            Data::Scalar((_, number)) => Some(number),
            Data::Vector(samples) if samples.len() > 1 => {
                return Err(ill(
                    &target,
                    "the query has more than one answer; sum them up".to_owned(),
                ));
            }
            Data::Vector(samples) => samples.into_iter().next().map(|sample| sample.value.1),
        };
        let Some(number) = number else {
            return match self.none_is_well {
                true => Ok(()),
                false => Err(ill(&target, "the query has no answer".to_owned())),
            };
        };
        // NaN, which is a share of nothing, is neither at most nor more.
        match number.parse::<f64>() {
            Ok(number) if number <= self.at_most => Ok(()),
            _ => Err(ill(
                &target,
                format!("{number} is not at most {}", self.at_most),
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::tests::section;
    use crate::http::scripted::{Scripted, json};

    fn check(text: &str) -> Result<(), RolloutError> {
        open(&section(text), &Outside::for_tests()).unwrap().check()
    }

    #[test]
    fn prometheus_knows_a_number() {
        let asks = |answer: &'static str, more: &str| {
            let server = Scripted::new(move |_, asked| {
                assert_eq!(asked.target, "/api/v1/query?query=rate%28errors%5B5m%5D%29");
                json(200, answer)
            });
            check(&format!(
                "kind = 'prometheus'\naddress = '{}'\nquery = 'rate(errors[5m])'\nat_most = 0.01\n{more}",
                server.address("")
            ))
        };
        let one = r#"{"status":"success","data":{"resultType":"vector","result":[{"metric":{},"value":[1,"0.01"]}]}}"#;
        asks(one, "").unwrap();
        asks(r#"{"data":{"resultType":"scalar","result":[1,"0"]}}"#, "").unwrap();
        let none = r#"{"data":{"resultType":"vector","result":[]}}"#;
        asks(none, "none_is_well = true").unwrap();
        for (bad, why) in [
            (none, "no answer"),
            (
                r#"{"data":{"resultType":"scalar","result":[1,"0.02"]}}"#,
                "not at most",
            ),
            (
                r#"{"data":{"resultType":"scalar","result":[1,"NaN"]}}"#,
                "not at most",
            ),
            (
                r#"{"data":{"resultType":"vector","result":[{"value":[1,"0"]},{"value":[1,"0"]}]}}"#,
                "more than one",
            ),
            ("{}", "can't be understood"),
        ] {
            let said = asks(bad, "").unwrap_err().to_string();
            assert!(said.contains(why), "{said}");
        }
    }

    #[test]
    fn a_page_is_well_or_not() {
        let page = |status: u16| {
            let server = Scripted::new(move |_, _| json(status, "{}"));
            check(&format!(
                "kind = 'http'\naddress = '{}'\n",
                server.address("/healthz")
            ))
        };
        page(200).unwrap();
        page(204).unwrap();
        assert!(page(503).is_err());
        assert!(page(404).is_err());
    }

    #[test]
    #[cfg(unix)]
    fn a_program_is_asked() {
        check("kind = 'program'\ncommand = ['true']").unwrap();
        let said = check("kind = 'program'\ncommand = ['sh', '-c', 'echo why >&2; exit 1']");
        assert!(said.unwrap_err().to_string().contains("why"));
    }
}
