//! Getting into Azure: a token as it is, an application's secret or federated token, or a machine's
//! own identity.
//!
//! Facts: Microsoft's documentation of the identity platform (client credentials flow) and of
//! managed identities on virtual machines.

use serde::Deserialize;

use crate::config::{ConfigError, Credential, Section};
use crate::http::{Client, Method, Request};
use crate::secret::Secret;
use crate::store::Outside;
use crate::store::rest::{self, Rest};
use crate::store::session::{self, Issue, Session};

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
        #[serde(default = "metadata")]
        address: String,
    },
}

fn authority() -> String {
    "https://login.microsoftonline.com".to_owned()
}

fn metadata() -> String {
    "http://169.254.169.254".to_owned()
}

/// `resource` is what the token is for.
pub(super) fn open(
    section: &Section,
    outside: &Outside<'_>,
    client: &Client,
    place: &str,
    resource: &str,
    auth: Auth,
) -> Result<Session<Secret>, ConfigError> {
    let now = outside.now;
    let rest = |address: &str, right: &str| -> Result<Rest, ConfigError> {
        let base = rest::address(section, address)?;
        Ok(Rest::new(client.clone(), base, place, &[right.to_owned()]))
    };
    let scope = format!("{resource}/.default");
    let issue: Issue<Secret> = match auth {
        Auth::Token(from) => session::given(place, rest::source(section, "token", from, outside)?),
        Auth::ClientSecret {
            tenant,
            client_id,
            secret,
            authority,
        } => {
            let secret = rest::credential(section, "secret", &secret, outside)?;
            let rest = rest(
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
            let source = rest::source(section, "token", token, outside)?;
            let rest = rest(&authority, "a federated credential that fits the token")?;
            let place = place.to_owned();
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
            let rest = rest(&address, "an identity for the machine")?;
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
    Ok(Session::new(outside, issue))
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
