//! A feature flag that is switched by one request forward and another back: whatever service keeps
//! it. Consumers that follow the flag are watched by the stage's health checks.

use serde::Deserialize;

use super::{Direction, Move, Outside, Progress, Rollout, RolloutError, Started};
use crate::config::{ConfigError, Credential, Section};
use crate::http::{Address, Method, Request};
use crate::secret::Secret;
use crate::store::rest::{self, Rest};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    ca: Option<String>,
    token: Credential,
    /// What stands before the token in the header `Authorization`; may be empty.
    #[serde(default)]
    scheme: String,
    /// Switches to key B.
    forward: Call,
    /// Switches back.
    back: Call,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Call {
    #[serde(default)]
    method: Verb,
    address: String,
    /// JSON, if there is a body.
    body: Option<String>,
}

#[derive(Clone, Copy, Default, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
enum Verb {
    #[default]
    Post,
    Put,
    Patch,
}

impl Verb {
    fn method(self) -> Method {
        match self {
            Self::Post => Method::Post,
            Self::Put => Method::Put,
            Self::Patch => Method::Patch,
        }
    }
}

struct Switch {
    address: Address,
    method: Method,
    body: Option<Secret>,
}

struct Flag {
    target: String,
    rest: Rest,
    token: Secret,
    scheme: String,
    forward: Switch,
    back: Switch,
}

/// Opens what a section describes.
pub(super) fn open(
    section: &Section,
    outside: &Outside<'_>,
) -> Result<Box<dyn Rollout>, ConfigError> {
    let settings: Settings = section.read()?;
    let switch = |call: &Call| {
        let body = call
            .body
            .as_ref()
            .map(|body| Secret::new(body.clone().into()));
        let is_json =
            |body: &Secret| serde_json::from_slice::<serde::de::IgnoredAny>(body.expose()).is_ok();
        if !body.iter().all(is_json) {
            return Err(section.invalid("`body` is JSON"));
        }
        Ok(Switch {
            address: rest::address(section, &call.address)?,
            method: call.method.method(),
            body,
        })
    };
    let (forward, back) = (switch(&settings.forward)?, switch(&settings.back)?);
    let client = rest::client(section, settings.ca.as_deref(), outside)?;
    let target = format!("flag at {}", forward.address.host());
    Ok(Box::new(Flag {
        rest: Rest::new(client, forward.address.clone(), &target, &rights()),
        target,
        token: rest::credential(section, "token", &settings.token, outside)?,
        scheme: settings.scheme,
        forward,
        back,
    }))
}

fn rights() -> Vec<String> {
    vec!["switch this flag".to_owned()]
}

impl Flag {
    fn switch(&self, direction: Direction) -> &Switch {
        match direction {
            Direction::Forward => &self.forward,
            Direction::Back => &self.back,
        }
    }
}

impl Rollout for Flag {
    fn target(&self) -> String {
        self.target.clone()
    }

    fn calls(&self, direction: Direction) -> Vec<String> {
        let switch = self.switch(direction);
        vec![format!("{} {}", switch.method, switch.address)]
    }

    fn rights(&self) -> Vec<String> {
        rights()
    }

    fn preflight(&self) -> Result<Vec<String>, RolloutError> {
        Ok(vec!["whether the flag can be switched is found out on the way; give the stage a health check".to_owned()])
    }

    fn start(&self, to: Move<'_>) -> Result<Started, RolloutError> {
        let doing = "switch the flag";
        let switch = self.switch(to.direction);
        let mut request = Request::new(switch.method, switch.address.clone()).secret_header(
            "authorization",
            &self.scheme,
            &self.token,
        );
        if let Some(body) = &switch.body {
            request = request.body("application/json", body.clone());
        }
        self.rest.done(doing, &self.rest.send(doing, request)?)?;
        Ok(Started::new(to.to_string()))
    }

    fn progress(&self, _: &Started) -> Result<Progress, RolloutError> {
        Ok(Progress::Done)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Surroundings;
    use crate::config::tests::section;
    use crate::http::scripted::{Scripted, json};
    use crate::rollout::{open, open_stage};

    #[test]
    fn a_flag_is_switched_there_and_back() {
        let server =
            Scripted::new(
                |_, asked| match asked.head.contains("authorization: token given") {
                    true => json(200, "{}"),
                    false => json(401, "{}"),
                },
            );
        let (on, off) = (server.address("/flags/b/on"), server.address("/flags/b"));
        let text = format!(
            "name = 'canary'\nlimit = '1m'\nkind = 'flag'\nscheme = 'Token'\ntoken = {{ env = 'T' }}\nforward = {{ address = '{on}' }}\nback = {{ method = 'PATCH', address = '{off}', body = '{{\"on\":false}}' }}\n"
        );
        let variable = |_: &str| Some(Secret::new(b"given".to_vec()));
        let outside = Outside {
            surroundings: Surroundings {
                variable: &variable,
            },
            ..Outside::for_tests()
        };
        let stage = open_stage(&section(&text), &outside).unwrap();
        assert_eq!(
            (
                stage.name.as_str(),
                stage.limit.as_secs(),
                stage.healthy_after
            ),
            ("canary", 60, 3)
        );
        for direction in [Direction::Forward, Direction::Back] {
            let to = Move::first("r", direction);
            let started = stage.start(to).unwrap();
            assert_eq!(stage.rollout.progress(&started).unwrap(), Progress::Done);
        }
        let asked = server.asked();
        assert_eq!(
            (asked[0].method.as_str(), asked[0].target.as_str()),
            ("POST", "/flags/b/on")
        );
        assert_eq!(
            (asked[1].method.as_str(), asked[1].body.as_str()),
            ("PATCH", "{\"on\":false}")
        );
        let typo = open_stage(&section(&text.replace("limit", "limmit")), &outside);
        let typo = typo.err().unwrap().to_string();
        assert!(typo.contains("did you mean `limit`?"), "{typo}");
        let broken = text
            .replace("{\"on\":false}", "{on}")
            .replace("name = 'canary'\nlimit = '1m'\n", "");
        assert!(open(&section(&broken), &outside).is_err());
    }
}
