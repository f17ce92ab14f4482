//! Getting into AWS: with keys as they are, or with some that are given for a while.
//!
//! Facts: AWS' documentation of `credential_process`, container credentials (ECS, EKS Pod Identity),
//! the instance metadata service (version 2) and STS' `AssumeRoleWithWebIdentity`.

use jiff::Timestamp;
use serde::Deserialize;

use super::sign::Keys;
use crate::config::{ConfigError, Credential};
use crate::http::{Address, Method, Request};
use crate::secret::Secret;
use crate::store::StoreError;
use crate::store::rest::{self, Rest, Text};
use crate::store::session::{self, Door, Issue, Issued, Session};

/// Ways in.
#[derive(Deserialize)]
#[serde(
    rename_all = "snake_case",
    rename_all_fields = "kebab-case",
    deny_unknown_fields
)]
pub(super) enum Auth {
    /// Keys as they are.
    Keys {
        id: Credential,
        secret: Credential,
        session_token: Option<Credential>,
    },
    /// Keys in JSON, as a `credential_process` or `aws configure export-credentials` prints them.
    Process(Credential),
    /// A role, for a token that somebody signed: EKS' service accounts, CI jobs.
    WebIdentity {
        role: String,
        token: Credential,
        #[serde(default = "session")]
        session: String,
        /// Where STS is, if not in the region.
        address: Option<String>,
    },
    /// ECS and EKS Pod Identity.
    Container {
        address: Credential,
        token: Option<Credential>,
    },
    /// An EC2 instance's role.
    Instance {
        #[serde(default = "session::metadata")]
        address: String,
    },
}

fn session() -> String {
    "skewer".to_owned()
}

/// What a relative address of ECS is relative to.
const ECS: &str = "http://169.254.170.2";

/// Keys and their end, as all but STS give them.
#[derive(Deserialize)]
struct Given {
    #[serde(flatten)]
    keys: Keys,
    #[serde(rename = "Expiration")]
    expiration: Option<String>,
}

impl Given {
    fn issued(self) -> Option<Issued<Keys>> {
        let ends = self.expiration.map(|text| text.parse::<Timestamp>());
        Some(Issued {
            what: self.keys,
            ends: ends.transpose().ok()?,
        })
    }
}

pub(super) fn open(
    door: &Door<'_>,
    region: &str,
    auth: Auth,
) -> Result<Session<Keys>, ConfigError> {
    let issue = match auth {
        Auth::Keys {
            id,
            secret,
            session_token,
        } => given(door, &id, &secret, session_token.as_ref())?,
        Auth::Process(from) => process(door, from)?,
        Auth::WebIdentity {
            role,
            token,
            session,
            address,
        } => {
            let address = address
                .unwrap_or_else(|| format!("https://sts.{region}.{}", super::domain(region)));
            web_identity(door, &address, role, session, token)?
        }
        Auth::Container { address, token } => container(door, &address, token)?,
        Auth::Instance { address } => instance(door, &address)?,
    };
    Ok(Session::new(door.outside, issue))
}

fn given(
    door: &Door<'_>,
    id: &Credential,
    secret: &Credential,
    token: Option<&Credential>,
) -> Result<Issue<Keys>, ConfigError> {
    let id = String::from_utf8(door.credential("id", id)?.expose().to_vec());
    let token = token
        .map(|from| door.credential("session-token", from))
        .transpose()?;
    let keys = Keys {
        access_key_id: id.map_err(|_| door.section.invalid("`id`: it is no text"))?,
        secret_access_key: Text(door.credential("secret", secret)?),
        session_token: token.map(Text),
    };
    Ok(Box::new(move || {
        Ok(Issued {
            what: keys.clone(),
            ends: None,
        })
    }))
}

fn process(door: &Door<'_>, from: Credential) -> Result<Issue<Keys>, ConfigError> {
    let source = door.source("process", from)?;
    let place = door.place.to_owned();
    Ok(Box::new(move || {
        let text = rest::again(&place, &source)?;
        let given = serde_json::from_slice::<Given>(text.expose()).ok();
        given.and_then(Given::issued).ok_or_else(|| StoreError::Malformed {
            place: place.clone(),
            reason: "what `process` gave are no credentials in JSON (`AccessKeyId`, `SecretAccessKey`), as `aws configure export-credentials` prints them".to_owned(),
        })
    }))
}

fn web_identity(
    door: &Door<'_>,
    address: &str,
    role: String,
    session: String,
    token: Credential,
) -> Result<Issue<Keys>, ConfigError> {
    let source = door.source("token", token)?;
    let rest = door.rest(
        address,
        "the role's trust policy allows this token: sts:AssumeRoleWithWebIdentity",
    )?;
    let place = door.place.to_owned();
    Ok(Box::new(move || {
        let doing = "assume the role";
        let token = rest::again(&place, &source)?;
        let body = rest::form(&[
            ("Action", b"AssumeRoleWithWebIdentity"),
            ("Version", b"2011-06-15"),
            ("RoleArn", role.as_bytes()),
            ("RoleSessionName", session.as_bytes()),
            ("WebIdentityToken", token.expose()),
        ]);
        let request = rest.request(Method::Post, &[]).body(rest::FORM, body);
        let answer = rest.send(doing, request)?;
        if answer.status != 200 {
            // STS says 400 to tokens that it does not accept.
            let status = if answer.status == 400 {
                403
            } else {
                answer.status
            };
            return Err(rest.refused_as(status, doing, &answer));
        }
        let text = |name: &str| {
            let between = element(&answer.body, name)?;
            Some(Secret::new(between.to_vec()))
        };
        let plain = |name: &str| String::from_utf8(text(name)?.expose().to_vec()).ok();
        let keys = || {
            Some(Issued {
                what: Keys {
                    access_key_id: plain("AccessKeyId")?,
                    secret_access_key: Text(text("SecretAccessKey")?),
                    session_token: Some(Text(text("SessionToken")?)),
                },
                ends: Some(plain("Expiration")?.parse().ok()?),
            })
        };
        keys().ok_or_else(|| rest.malformed(doing))
    }))
}

/// The text in an XML element that has no other in it and needs no escapes: keys and times.
fn element<'a>(text: &'a [u8], name: &str) -> Option<&'a [u8]> {
    let (open, close) = (format!("<{name}>"), format!("</{name}>"));
    let start = memchr::memmem::find(text, open.as_bytes())? + open.len();
    let length = memchr::memmem::find(&text[start..], close.as_bytes())?;
    Some(&text[start..start + length])
}

fn container(
    door: &Door<'_>,
    address: &Credential,
    token: Option<Credential>,
) -> Result<Issue<Keys>, ConfigError> {
    let address = door.credential("address", address)?;
    let address = String::from_utf8_lossy(address.expose()).into_owned();
    let address = match address.starts_with('/') {
        true => format!("{ECS}{address}"),
        false => address,
    };
    let rest = door.machine(&address, "a role for the task or the pod")?;
    let source = token.map(|from| door.source("token", from)).transpose()?;
    let place = door.place.to_owned();
    Ok(Box::new(move || {
        let mut request = rest.request(Method::Get, &[]);
        if let Some(source) = &source {
            let token = rest::again(&place, source)?;
            request = request.secret_header("authorization", "", &token);
        }
        keys_from(&rest, request)
    }))
}

fn instance(door: &Door<'_>, address: &str) -> Result<Issue<Keys>, ConfigError> {
    let rest = door.machine(
        address,
        "an instance profile, and a hop limit of 2 for containers",
    )?;
    Ok(Box::new(move || {
        let doing = "ask the instance for its role";
        let request = rest.request(Method::Put, &["latest/api/token"]);
        let request = request.header("x-aws-ec2-metadata-token-ttl-seconds", "300");
        let answer = rest.send(doing, request)?;
        rest.done(doing, &answer)?;
        let token = Secret::new(answer.body.to_vec());
        let get = |address: Address| {
            let request = Request::new(Method::Get, address);
            request.secret_header("x-aws-ec2-metadata-token", "", &token)
        };
        let roles = rest.address(&["latest/meta-data/iam/security-credentials"]);
        let answer = rest.send(doing, get(roles.directory()))?;
        rest.done(doing, &answer)?;
        let role = String::from_utf8_lossy(&answer.body).trim().to_owned();
        keys_from(&rest, get(roles.join([role.as_str()])))
    }))
}

fn keys_from(rest: &Rest, request: Request) -> Result<Issued<Keys>, StoreError> {
    let doing = "ask for the role's keys";
    let answer = rest.send(doing, request)?;
    let given: Given = rest.parse(doing, &answer)?;
    given.issued().ok_or_else(|| rest.malformed(doing))
}
