//! Getting into Vault: with a token, or by a login that gives one. A token that a login gave is
//! asked for anew when it is not accepted any more.

use std::sync::{Mutex, PoisonError};

use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::config::{ConfigError, Credential, Section};
use crate::http::{Answer, Method, Request};
use crate::secret::Secret;
use crate::store::rest::{self, Rest, Text};
use crate::store::{Outside, StoreError};

/// Ways in.
#[derive(Clone, Debug, Deserialize)]
#[serde(
    rename_all = "snake_case",
    rename_all_fields = "kebab-case",
    deny_unknown_fields
)]
pub(super) enum Auth {
    /// A token as it is.
    Token(Credential),
    /// An application's role.
    Approle {
        role_id: String,
        secret_id: Credential,
        /// The secret id is the token of a response that wraps it, to be opened once.
        #[serde(default)]
        wrapped: bool,
        #[serde(default = "approle")]
        mount: String,
    },
    /// A pod's service account.
    Kubernetes {
        role: String,
        #[serde(default = "projected")]
        jwt: Credential,
        #[serde(default = "kubernetes")]
        mount: String,
    },
    /// A signed token, such as a CI job's.
    Jwt {
        role: String,
        jwt: Credential,
        #[serde(default = "jwt")]
        mount: String,
    },
}

fn approle() -> String {
    "approle".to_owned()
}

fn kubernetes() -> String {
    "kubernetes".to_owned()
}

fn jwt() -> String {
    "jwt".to_owned()
}

fn projected() -> Credential {
    Credential::File("/var/run/secrets/kubernetes.io/serviceaccount/token".into())
}

/// Who we are to the server.
pub(super) struct Session {
    namespace: Option<String>,
    login: Login,
    token: Mutex<Option<Secret>>,
    /// A secret id that was unwrapped: that can be done once only.
    unwrapped: Mutex<Option<Text>>,
}

/// What is sent to get a token.
enum Login {
    /// Nothing: it is given.
    Given,
    /// This body, to this mount.
    Send { mount: String, body: Body },
    /// The secret id is unwrapped first.
    Unwrap {
        mount: String,
        role_id: String,
        wrapped: Secret,
    },
}

#[derive(Clone, Serialize)]
#[serde(untagged)]
enum Body {
    Role { role_id: String, secret_id: Text },
    Signed { role: String, jwt: Text },
}

impl Session {
    pub(super) fn new(
        section: &Section,
        outside: &Outside<'_>,
        namespace: Option<String>,
        auth: Auth,
    ) -> Result<Self, ConfigError> {
        let get = |name: &str, from: &Credential| rest::credential(section, name, from, outside);
        let (login, token) = match auth {
            Auth::Token(from) => (Login::Given, Some(get("token", &from)?)),
            Auth::Approle {
                role_id,
                secret_id,
                wrapped,
                mount,
            } => {
                let secret = get("secret-id", &secret_id)?;
                let login = match wrapped {
                    true => Login::Unwrap {
                        mount,
                        role_id,
                        wrapped: secret,
                    },
                    false => Login::Send {
                        mount,
                        body: Body::Role {
                            role_id,
                            secret_id: Text(secret),
                        },
                    },
                };
                (login, None)
            }
            Auth::Kubernetes {
                role,
                jwt: from,
                mount,
            }
            | Auth::Jwt {
                role,
                jwt: from,
                mount,
            } => {
                let jwt = Text(get("jwt", &from)?);
                let body = Body::Signed { role, jwt };
                (Login::Send { mount, body }, None)
            }
        };
        Ok(Self {
            namespace,
            login,
            token: Mutex::new(token),
            unwrapped: Mutex::default(),
        })
    }

    /// Sends what `make` makes, with our token.
    pub(super) fn send(
        &self,
        rest: &Rest,
        doing: &str,
        make: impl Fn() -> Request,
    ) -> Result<Answer, StoreError> {
        let (token, fresh) = self.token(rest)?;
        let answer = rest.send(doing, self.dress(make(), &token))?;
        if answer.status != 403 || fresh || matches!(self.login, Login::Given) {
            return Ok(answer);
        }
        // The token may have ended. What was refused was not done, so it may be sent again.
        *self.held() = None;
        let (token, _) = self.token(rest)?;
        rest.send(doing, self.dress(make(), &token))
    }

    fn held(&self) -> std::sync::MutexGuard<'_, Option<Secret>> {
        self.token.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn dress(&self, request: Request, token: &Secret) -> Request {
        self.plain(request)
            .secret_header("x-vault-token", "", token)
    }

    fn plain(&self, request: Request) -> Request {
        let request = request.header("x-vault-request", "true");
        match &self.namespace {
            Some(namespace) => request.header("x-vault-namespace", namespace),
            None => request,
        }
    }

    /// The token, and whether it was just given.
    fn token(&self, rest: &Rest) -> Result<(Secret, bool), StoreError> {
        if let Some(token) = &*self.held() {
            return Ok((token.clone(), false));
        }
        let token = self.log_in(rest)?;
        *self.held() = Some(token.clone());
        Ok((token, true))
    }

    fn log_in(&self, rest: &Rest) -> Result<Secret, StoreError> {
        #[derive(Deserialize)]
        struct Reply {
            auth: Token,
        }
        #[derive(Deserialize)]
        struct Token {
            client_token: Text,
        }
        let (mount, body) = match &self.login {
            Login::Send { mount, body } => (mount, body.clone()),
            Login::Unwrap {
                mount,
                role_id,
                wrapped,
            } => {
                let body = Body::Role {
                    role_id: role_id.clone(),
                    secret_id: self.unwrap(rest, wrapped)?,
                };
                (mount, body)
            }
            Login::Given => return Err(rest.malformed("log in")),
        };
        let doing = "log in";
        let (kind, body) = rest::json(&body);
        let request = rest.request(Method::Post, &["auth", mount, "login"]);
        let answer = rest.send(doing, self.plain(request.body(kind, body)))?;
        let reply: Reply = rest.parse(doing, &answer)?;
        Ok(reply.auth.client_token.0)
    }

    /// Opens a wrapped secret id. If somebody else has opened it, that is an alarm.
    fn unwrap(&self, rest: &Rest, wrapped: &Secret) -> Result<Text, StoreError> {
        #[derive(Deserialize)]
        struct Reply {
            data: Data,
        }
        #[derive(Deserialize)]
        struct Data {
            secret_id: Text,
        }
        let mut held = self
            .unwrapped
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if let Some(secret_id) = &*held {
            return Ok(secret_id.clone());
        }
        let doing = "unwrap the secret id (if somebody else has unwrapped it, find out who)";
        let (kind, body) = rest::json(&json!({}));
        let request = rest.request(Method::Post, &["sys/wrapping/unwrap"]);
        let answer = rest.send(doing, self.dress(request.body(kind, body), wrapped))?;
        let reply: Reply = rest.parse(doing, &answer)?;
        Ok(held.insert(reply.data.secret_id).clone())
    }
}
