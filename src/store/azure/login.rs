//! Getting into Azure: a token as it is, an application's secret or federated token, or a machine's
//! own identity.
//!
//! Facts: Microsoft's documentation of the identity platform (client credentials flow) and of
//! managed identities on virtual machines.

use serde::Deserialize;

use crate::config::{ConfigError, Credential};
use crate::http::{Method, Request};
use crate::secret::Secret;
use crate::store::rest::{self, Rest};
use crate::store::session::{self, Door, Issue, Session};

/// What says that an assertion is a signed token.
const SIGNED: &[u8] = b"urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

/// Ways in.
#[derive(Deserialize)]
#[serde(
    rename_all = "snake_case",
    rename_all_fields = "kebab-case",
    deny_unknown_fields
)]
pub(super) enum Auth {
    /// An access token, such as `az account get-access-token` prints.
    Token(Credential),
    /// An application's secret.
    ClientSecret {
        tenant: String,
        client_id: String,
        secret: Credential,
        #[serde(default = "authority")]
        authority: String,
    },
    /// A token that somebody signed for an application: AKS' service accounts, CI jobs.
    WorkloadIdentity {
        tenant: String,
        client_id: String,
        token: Credential,
        #[serde(default = "authority")]
        authority: String,
    },
    /// The machine's identity, or one of them.
    ManagedIdentity {
        client_id: Option<String>,
        #[serde(default = "session::metadata")]
        address: String,
    },
}

fn authority() -> String {
    "https://login.microsoftonline.com".to_owned()
}

/// `resource` is what the token is for.
pub(super) fn open(
    door: &Door<'_>,
    resource: &str,
    auth: Auth,
) -> Result<Session<Secret>, ConfigError> {
    let now = door.outside.now;
    let scope = format!("{resource}/.default");
    let issue: Issue<Secret> = match auth {
        Auth::Token(from) => door.token(from)?,
        Auth::ClientSecret {
            tenant,
            client_id,
            secret,
            authority,
        } => {
            let secret = door.credential("secret", &secret)?;
            let rest = door.rest(
                &authority,
                "an application with a secret that has not ended",
            )?;
            Box::new(move || {
                let fields: &[(&str, &[u8])] = &[("client_secret", secret.expose())];
                let request = ask(&rest, &tenant, &client_id, &scope, fields);
                session::token(&rest, request, now)
            })
        }
        Auth::WorkloadIdentity {
            tenant,
            client_id,
            token,
            authority,
        } => {
            let source = door.source("token", token)?;
            let rest = door.rest(&authority, "a federated credential that fits the token")?;
            let place = door.place.to_owned();
            Box::new(move || {
                let token = rest::again(&place, &source)?;
                let fields: &[(&str, &[u8])] = &[
                    ("client_assertion_type", SIGNED),
                    ("client_assertion", token.expose()),
                ];
                let request = ask(&rest, &tenant, &client_id, &scope, fields);
                session::token(&rest, request, now)
            })
        }
        Auth::ManagedIdentity { client_id, address } => {
            let rest = door.machine(&address, "an identity for the machine")?;
            let resource = resource.to_owned();
            Box::new(move || {
                let mut address = rest
                    .address(&["metadata/identity/oauth2/token"])
                    .query("api-version", "2018-02-01")
                    .query("resource", &resource);
                if let Some(id) = &client_id {
                    address = address.query("client_id", id);
                }
                let request = Request::new(Method::Get, address).header("metadata", "true");
                session::token(&rest, request, now)
            })
        }
    };
    Ok(Session::new(door.outside, issue))
}

fn ask(
    rest: &Rest,
    tenant: &str,
    client_id: &str,
    scope: &str,
    proof: &[(&str, &[u8])],
) -> Request {
    let mut fields: Vec<(&str, &[u8])> = vec![
        ("grant_type", b"client_credentials"),
        ("client_id", client_id.as_bytes()),
        ("scope", scope.as_bytes()),
    ];
    fields.extend(proof);
    let request = rest.request(Method::Post, &[tenant, "oauth2/v2.0/token"]);
    request.body(rest::FORM, rest::form(&fields))
}
