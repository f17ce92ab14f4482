//! Signature Version 4, for requests with a body and without a query: all that AWS' JSON protocol
//! needs.
//!
//! Source: AWS' documentation of the signing process; tried against its published vectors and
//! against what botocore makes.

use jiff::Timestamp;
use jiff::tz::TimeZone;
use ring::hmac;
use serde::Deserialize;
use sha2::{Digest, Sha256};

use crate::http::{Address, Method, Request};
use crate::secret::Secret;
use crate::store::rest::Text;

/// Who signs.
#[derive(Clone, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Keys {
    /// Not a secret.
    pub(super) access_key_id: String,
    pub(super) secret_access_key: Text,
    /// Goes with keys that end.
    #[serde(default, alias = "Token")]
    pub(super) session_token: Option<Text>,
}

/// Where and when a signature counts.
pub(super) struct Scope<'a> {
    pub(super) region: &'a str,
    pub(super) service: &'a str,
    pub(super) at: Timestamp,
}

/// What AWS wants to have besides the body: the headers are signed, too.
const KIND: &str = "application/x-amz-json-1.1";

/// A signed request of the JSON protocol.
pub(super) fn request(
    keys: &Keys,
    scope: &Scope<'_>,
    address: &Address,
    target: &str,
    body: &Secret,
) -> Request {
    let time = scope.time();
    let host = address.host();
    let mut headers = vec![
        ("content-type", KIND.as_bytes()),
        ("host", host.as_bytes()),
        ("x-amz-date", time.as_bytes()),
    ];
    if let Some(Text(token)) = &keys.session_token {
        headers.push(("x-amz-security-token", token.expose()));
    }
    headers.push(("x-amz-target", target.as_bytes()));
    let authorization = authorization(keys, scope, "POST", address.path(), &headers, body.expose());
    let mut request = Request::new(Method::Post, address.clone())
        .header("x-amz-date", &time)
        .header("x-amz-target", target)
        .header("authorization", &authorization);
    if let Some(Text(token)) = &keys.session_token {
        request = request.secret_header("x-amz-security-token", "", token);
    }
    request.body(KIND, body.clone())
}

impl Scope<'_> {
    fn time(&self) -> String {
        let zoned = self.at.to_zoned(TimeZone::UTC);
        zoned.strftime("%Y%m%dT%H%M%SZ").to_string()
    }
}

/// The value of the header `authorization`. The headers' names are in order and in lower case.
fn authorization(
    keys: &Keys,
    scope: &Scope<'_>,
    method: &str,
    path: &str,
    headers: &[(&str, &[u8])],
    body: &[u8],
) -> String {
    let time = scope.time();
    let day = &time[..8];
    let names: Vec<&str> = headers.iter().map(|(name, _)| *name).collect();
    let names = names.join(";");
    // It is hashed piece by piece, since one header is a secret.
    let mut canonical = Sha256::new();
    canonical.update(format!("{method}\n{path}\n\n"));
    for (name, value) in headers {
        canonical.update(format!("{name}:"));
        canonical.update(value);
        canonical.update("\n");
    }
    canonical.update(format!("\n{names}\n{}", hex(&Sha256::digest(body))));
    let within = format!("{day}/{}/{}/aws4_request", scope.region, scope.service);
    let text = format!(
        "AWS4-HMAC-SHA256\n{time}\n{within}\n{}",
        hex(&canonical.finalize())
    );
    let Text(secret) = &keys.secret_access_key;
    let mut first = Vec::with_capacity(4 + secret.expose().len());
    first.extend_from_slice(b"AWS4");
    first.extend_from_slice(secret.expose());
    let first = Secret::new(first);
    let parts = [day, scope.region, scope.service, "aws4_request"];
    let key = parts
        .iter()
        .fold(first, |key, part| hmac(&key, part.as_bytes()));
    format!(
        "AWS4-HMAC-SHA256 Credential={}/{within}, SignedHeaders={names}, Signature={}",
        keys.access_key_id,
        hex(hmac(&key, text.as_bytes()).expose())
    )
}

fn hmac(key: &Secret, text: &[u8]) -> Secret {
    let key = hmac::Key::new(hmac::HMAC_SHA256, key.expose());
    Secret::new(hmac::sign(&key, text).as_ref().to_vec())
}

/// Bytes as hexadecimal digits.
pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(token: Option<&str>) -> Keys {
        let text = |text: &str| Text(Secret::new(text.into()));
        Keys {
            access_key_id: "AKIDEXAMPLE".to_owned(),
            secret_access_key: text("wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"),
            session_token: token.map(text),
        }
    }

    fn scope(service: &str) -> Scope<'_> {
        Scope {
            region: "us-east-1",
            service,
            at: "2015-08-30T12:36:00Z".parse().unwrap(),
        }
    }

    /// `get-vanilla` and `post-vanilla` of AWS' test suite for Signature Version 4.
    #[test]
    fn the_published_vectors_come_out() {
        for (method, signature) in [
            (
                "GET",
                "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31",
            ),
            (
                "POST",
                "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b",
            ),
        ] {
            let headers: [(&str, &[u8]); 2] = [
                ("host", b"example.amazonaws.com"),
                ("x-amz-date", b"20150830T123600Z"),
            ];
            let made = authorization(&keys(None), &scope("service"), method, "/", &headers, b"");
            assert_eq!(
                made,
                format!(
                    "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request, SignedHeaders=host;x-amz-date, Signature={signature}"
                )
            );
        }
    }

    /// Made with botocore 1.43.106 (`SigV4Auth`), with a session token.
    #[test]
    fn a_request_is_signed_as_botocore_signs_it() {
        let address = Address::parse("https://secretsmanager.us-east-1.amazonaws.com").unwrap();
        let body = Secret::new(br#"{"SecretId":"x"}"#.to_vec());
        let made = authorization(
            &keys(Some("session")),
            &scope("secretsmanager"),
            "POST",
            address.path(),
            &[
                ("content-type", KIND.as_bytes()),
                ("host", address.host().as_bytes()),
                ("x-amz-date", b"20150830T123600Z"),
                ("x-amz-security-token", b"session"),
                ("x-amz-target", b"secretsmanager.DescribeSecret"),
            ],
            body.expose(),
        );
        assert!(
            made.ends_with(
                "Signature=f11a03977227e9df883291f8687f7d4a2f94f2c073dbd49b7bbff20f87c2f30c"
            ),
            "{made}"
        );
    }
}
