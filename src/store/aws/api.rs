//! The calls of Secrets Manager that a rotation makes.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::Deserialize;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::sign::{self, Keys, Scope};
use crate::http::Answer;
use crate::secret::Secret;
use crate::store::StoreError;
use crate::store::rest::{self, Rest, Text};
use crate::store::session::Session;

/// Who the signatures are for.
const SERVICE: &str = "secretsmanager";

/// Secrets Manager, in one region.
pub(super) struct Api {
    rest: Rest,
    session: Session<Keys>,
    now: fn() -> Timestamp,
    pub(super) region: String,
}

/// What is told of a secret without its value.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Described {
    #[serde(default)]
    version_ids_to_stages: BTreeMap<String, Vec<String>>,
    #[serde(default)]
    pub(super) rotation_enabled: bool,
    #[serde(default)]
    pub(super) owning_service: Option<String>,
    #[serde(default)]
    pub(super) primary_region: Option<String>,
    #[serde(default)]
    pub(super) replication_status: Vec<Value>,
}

impl Described {
    /// Versions and their labels.
    pub(super) fn versions(&self) -> impl Iterator<Item = (&str, &[String])> {
        let all = self.version_ids_to_stages.iter();
        all.map(|(id, labels)| (id.as_str(), labels.as_slice()))
    }

    /// The version with this label.
    pub(super) fn with(&self, label: &str) -> Option<&str> {
        let mut all = self.versions();
        all.find_map(|(id, labels)| labels.iter().any(|l| l == label).then_some(id))
    }

    /// A version's labels.
    pub(super) fn labels(&self, id: &str) -> &[String] {
        self.version_ids_to_stages
            .get(id)
            .map_or(&[], Vec::as_slice)
    }
}

/// A version's text.
pub(super) struct Got {
    pub(super) version_id: String,
    pub(super) text: Secret,
}

/// Names a write, so that it may be sent again: 64 hexadecimal digits. What goes in has the entropy
/// of a key, or is no secret.
pub(super) fn token(parts: &[&[u8]]) -> String {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    sign::hex(&hash.finalize())
}

/// What AWS calls an error.
fn kind(answer: &Answer) -> String {
    #[derive(Deserialize)]
    struct Body {
        #[serde(rename = "__type", default)]
        kind: String,
    }
    let body = serde_json::from_slice::<Body>(&answer.body);
    let kind = body.map(|body| body.kind).unwrap_or_default();
    // It may stand behind a name space.
    kind.rsplit('#').next().unwrap_or_default().to_owned()
}

impl Api {
    pub(super) fn new(
        rest: Rest,
        session: Session<Keys>,
        now: fn() -> Timestamp,
        region: String,
    ) -> Self {
        Self {
            rest,
            session,
            now,
            region,
        }
    }

    fn call(
        &self,
        doing: &str,
        action: &str,
        body: &impl serde::Serialize,
    ) -> Result<Answer, StoreError> {
        let (_, body) = rest::json(body);
        let address = self.rest.address(&[]);
        let target = format!("{SERVICE}.{action}");
        let sign = |keys: &Keys| {
            let scope = Scope {
                region: &self.region,
                service: SERVICE,
                at: (self.now)(),
            };
            sign::request(keys, &scope, &address, &target, &body)
        };
        let has_ended = |answer: &Answer| {
            matches!(
                kind(answer).as_str(),
                "ExpiredTokenException" | "UnrecognizedClientException" | "InvalidClientTokenId"
            )
        };
        self.session.send(&self.rest, doing, sign, has_ended)
    }

    /// What an answer that is no success means: nearly all have the status 400.
    fn refused(&self, doing: &str, answer: &Answer) -> StoreError {
        let kind = kind(answer);
        let status = match kind.as_str() {
            "ThrottlingException"
            | "Throttling"
            | "TooManyRequestsException"
            | "RequestLimitExceeded" => 429,
            "AccessDeniedException"
            | "UnrecognizedClientException"
            | "ExpiredTokenException"
            | "InvalidSignatureException"
            | "IncompleteSignatureException"
            | "SignatureDoesNotMatch"
            | "MissingAuthenticationTokenException"
            | "OptInRequired"
            | "DecryptionFailure"
            | "EncryptionFailure" => 403,
            "ResourceNotFoundException" => 404,
            "InternalServiceError" | "InternalFailure" | "ServiceUnavailable" => 500,
            _ => answer.status,
        };
        match self.rest.refused_as(status, doing, answer) {
            StoreError::Refused { place, reason } => StoreError::Refused {
                place,
                reason: format!("{reason}{}", remedy(&reason)),
            },
            StoreError::Denied {
                place,
                doing,
                reason,
                rights,
            } => StoreError::Denied {
                place,
                doing,
                reason: match SIGNED_WRONG.contains(&kind.as_str()) {
                    true => signed_wrong(&kind, &reason),
                    false => format!("{kind}: {reason}"),
                },
                rights,
            },
            other => other,
        }
    }

    fn parse<T: serde::de::DeserializeOwned>(
        &self,
        doing: &str,
        answer: &Answer,
    ) -> Result<T, StoreError> {
        match answer.status {
            200 => self.rest.parse(doing, answer),
            _ => Err(self.refused(doing, answer)),
        }
    }

    pub(super) fn describe(&self, secret: &str) -> Result<Described, StoreError> {
        let doing = "read about the secret";
        let answer = self.call(doing, "DescribeSecret", &json!({ "SecretId": secret }))?;
        self.parse(doing, &answer)
    }

    /// Reads a version, by its id or by its stage.
    pub(super) fn get(&self, secret: &str, by: &str, which: &str) -> Result<Got, StoreError> {
        #[derive(Deserialize)]
        #[serde(rename_all = "PascalCase")]
        struct Body {
            version_id: String,
            #[serde(default)]
            secret_string: Option<Text>,
        }
        let doing = "read the secret";
        let body = json!({ "SecretId": secret, by: which });
        let answer = self.call(doing, "GetSecretValue", &body)?;
        let got: Body = self.parse(doing, &answer)?;
        let text = got.secret_string.ok_or_else(|| {
            self.rest
                .unusable("the secret is binary (SecretBinary); only texts are rotated")
        })?;
        Ok(Got {
            version_id: got.version_id,
            text: text.0,
        })
    }

    /// Makes a version with a label of ours. With a token that was used before, it is there.
    pub(super) fn put(
        &self,
        secret: &str,
        token: &str,
        text: &Secret,
        label: &str,
    ) -> Result<String, StoreError> {
        let doing = "write a version of the secret";
        let body = json!({
            "SecretId": secret, "ClientRequestToken": token,
            "VersionStages": [label], "SecretString": Text(text.clone()),
        });
        let answer = self.call(doing, "PutSecretValue", &body)?;
        let made: Made = self.parse(doing, &answer)?;
        Ok(made.version_id)
    }

    /// Makes a secret; `None` if there is one of this name.
    pub(super) fn create(
        &self,
        secret: &str,
        token: &str,
        text: &Secret,
    ) -> Result<Option<String>, StoreError> {
        let doing = "make the lock's secret";
        let body = json!({
            "Name": secret, "ClientRequestToken": token, "SecretString": Text(text.clone()),
            "Description": "Who rotates a key with skewer; may be deleted while nobody does",
        });
        let answer = self.call(doing, "CreateSecret", &body)?;
        if answer.status != 200 && kind(&answer) == "ResourceExistsException" {
            return Ok(None);
        }
        let made: Made = self.parse(doing, &answer)?;
        Ok(Some(made.version_id))
    }

    /// Moves a label, or gives it, or takes it away. `false` if it is not where `from` says.
    pub(super) fn move_label(
        &self,
        secret: &str,
        label: &str,
        from: Option<&str>,
        to: Option<&str>,
    ) -> Result<bool, StoreError> {
        let doing = "move a staging label of the secret";
        if from == to {
            return Ok(true);
        }
        let mut body = json!({ "SecretId": secret, "VersionStage": label });
        // `null` is not the same as nothing.
        for (name, id) in [("RemoveFromVersionId", from), ("MoveToVersionId", to)] {
            if let Some(id) = id {
                body[name] = id.into();
            }
        }
        let answer = self.call(doing, "UpdateSecretVersionStage", &body)?;
        if answer.status != 200 && kind(&answer) == "InvalidParameterException" {
            return Ok(false);
        }
        match answer.status {
            200 => Ok(true),
            _ => Err(self.refused(doing, &answer)),
        }
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Made {
    version_id: String,
}

/// What to do about something that AWS refuses.
/// Refusals whose words quote the request as AWS would have signed it, the session token included.
const SIGNED_WRONG: &[&str] = &[
    "InvalidSignatureException",
    "IncompleteSignatureException",
    "SignatureDoesNotMatch",
];

/// What such a refusal means, without its words.
fn signed_wrong(kind: &str, words: &str) -> String {
    let is_late = ["expired", "not yet current"]
        .iter()
        .any(|late| words.contains(late));
    let why = match is_late {
        true => "this machine's clock is wrong: set it right",
        false => "the secret access key is not that of the access key id",
    };
    format!("{kind}: {why}")
}

fn remedy(reason: &str) -> &'static str {
    match reason {
        _ if reason.contains("deletion") => "; bring it back (aws secretsmanager restore-secret)",
        _ if reason.contains("too many") => {
            "; labels of other tools fill the secret: take some away"
        }
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refused_signature_is_told_without_the_request_that_it_quotes() {
        let quoted = "The Canonical String for this request should have been 'POST … x-amz-security-token:TOKEN'";
        let told = signed_wrong(SIGNED_WRONG[0], quoted);
        assert_eq!(
            told,
            "InvalidSignatureException: the secret access key is not that of the access key id"
        );
        let late = signed_wrong(
            SIGNED_WRONG[0],
            "Signature expired: 20261128T000000Z is now",
        );
        assert!(late.ends_with("set it right"), "{late}");
    }
}
