//! Getting into Google Cloud: a token as it is, a machine's own, or one for a service account's key.
//!
//! Facts: Google's documentation of the metadata server and of service accounts in server-to-server
//! OAuth 2.0 (RFC 7523), the form of key files.

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use ring::rand::SystemRandom;
use ring::signature::{RSA_PKCS1_SHA256, RsaKeyPair};
use rustls::pki_types::PrivatePkcs8KeyDer;
use rustls::pki_types::pem::PemObject;
use serde::Deserialize;
use serde_json::json;

use crate::config::{ConfigError, Credential};
use crate::http::Method;
use crate::secret::Secret;
use crate::store::rest::{self, Text};
use crate::store::session::{self, Door, Issue, Session};

/// What a token is for; what it may do is said by roles.
const SCOPE: &str = "https://www.googleapis.com/auth/cloud-platform";

/// How long what we sign is asked to last, in seconds: the most that Google gives.
const LIFETIME: i64 = 3600;

/// Ways in.
#[derive(Deserialize)]
#[serde(
    rename_all = "snake_case",
    rename_all_fields = "kebab-case",
    deny_unknown_fields
)]
pub(super) enum Auth {
    /// An access token, such as `gcloud auth print-access-token` prints.
    Token(Credential),
    /// The service account of the machine, the pod or the job.
    Metadata {
        #[serde(default = "session::metadata")]
        address: String,
    },
    /// A service account's key file.
    ServiceAccount(Credential),
}

pub(super) fn open(door: &Door<'_>, auth: Auth) -> Result<Session<Secret>, ConfigError> {
    let now = door.outside.now;
    let issue: Issue<Secret> = match auth {
        Auth::Token(from) => door.token(from)?,
        Auth::Metadata { address } => {
            let rest = door.machine(&address, "a service account for the machine or the pod")?;
            let path = "computeMetadata/v1/instance/service-accounts/default/token";
            Box::new(move || {
                let request = rest.request(Method::Get, &[path]);
                session::token(&rest, request.header("metadata-flavor", "Google"), now)
            })
        }
        Auth::ServiceAccount(from) => {
            let file = door.credential("service_account", &from)?;
            let account = Account::read(&file)
                .map_err(|why| door.section.invalid(format!("`service_account`: {why}")))?;
            let rest = door.rest(&account.uri, "a key that is not disabled")?;
            Box::new(move || {
                let assertion = account.assertion(now().as_second());
                let body = rest::form(&[
                    ("grant_type", b"urn:ietf:params:oauth:grant-type:jwt-bearer"),
                    ("assertion", assertion.expose()),
                ]);
                let request = rest.request(Method::Post, &[]).body(rest::FORM, body);
                session::token(&rest, request, now)
            })
        }
    };
    Ok(Session::new(door.outside, issue))
}

/// A service account that signs for itself.
struct Account {
    email: String,
    key_id: String,
    uri: String,
    key: RsaKeyPair,
}

impl Account {
    fn read(file: &Secret) -> Result<Self, &'static str> {
        #[derive(Deserialize)]
        struct File {
            client_email: String,
            private_key_id: String,
            private_key: Text,
            token_uri: String,
        }
        let file: File = serde_json::from_slice(file.expose())
            .map_err(|_| "it is no key file of a service account (JSON with `private_key`)")?;
        let Text(pem) = &file.private_key;
        let der = PrivatePkcs8KeyDer::from_pem_slice(pem.expose());
        let der = der.map_err(|_| "its `private_key` is no PEM of PKCS #8")?;
        let key = RsaKeyPair::from_pkcs8(der.secret_pkcs8_der())
            .map_err(|_| "its `private_key` is no RSA key of 2048 to 4096 bits")?;
        Ok(Self {
            email: file.client_email,
            key_id: file.private_key_id,
            uri: file.token_uri,
            key,
        })
    }

    /// What we are, signed (RS256).
    fn assertion(&self, now: i64) -> Secret {
        let encode = |bytes: &[u8]| BASE64_URL_SAFE_NO_PAD.encode(bytes);
        let head = json!({ "alg": "RS256", "typ": "JWT", "kid": self.key_id });
        let claims = json!({
            "iss": self.email, "scope": SCOPE, "aud": self.uri,
            "iat": now, "exp": now + LIFETIME,
        });
        let mut text = format!(
            "{}.{}",
            encode(head.to_string().as_bytes()),
            encode(claims.to_string().as_bytes())
        );
        let mut signature = vec![0; self.key.public().modulus_len()];
        self.key
            .sign(
                &RSA_PKCS1_SHA256,
                &SystemRandom::new(),
                text.as_bytes(),
                &mut signature,
            )
            .expect("the buffer has the modulus' length, and the key was checked");
        text += ".";
        text += &encode(&signature);
        Secret::new(text.into())
    }
}
