//! What stores behind HTTP have in common: a client, the meaning of statuses, bodies with secrets.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::{Outside, StoreError};
use crate::config::{ConfigError, Credential, Section, Source};
use crate::http::{Address, Answer, Client, Error, Method, Request, roots_from_pem};
use crate::secret::Secret;

/// The most of a server's message that is kept, in characters.
const LONGEST_MESSAGE: usize = 300;

/// A server, and how a store behind it speaks of itself.
pub(crate) struct Rest {
    client: Client,
    base: Address,
    place: String,
    rights: String,
}

impl Rest {
    pub(crate) fn new(client: Client, base: Address, place: &str, rights: &[String]) -> Self {
        Self {
            client,
            base,
            place: place.to_owned(),
            rights: rights.join("; "),
        }
    }

    /// A request below the base address; each part of the path may have several segments.
    pub(crate) fn request(&self, method: Method, path: &[&str]) -> Request {
        Request::new(method, self.address(path))
    }

    pub(crate) fn address(&self, path: &[&str]) -> Address {
        let segments = path.iter().flat_map(|part| part.split('/'));
        self.base
            .join(segments.filter(|segment| !segment.is_empty()))
    }

    /// Sends it; `doing` says what for, as a verb.
    pub(crate) fn send(&self, doing: &str, request: Request) -> Result<Answer, StoreError> {
        self.client
            .send(request)
            .map_err(|error| self.lost(doing, &error))
    }

    fn lost(&self, doing: &str, error: &Error) -> StoreError {
        StoreError::Unreachable {
            place: self.place.clone(),
            doing: doing.to_owned(),
            reason: error.to_string(),
            sent: error.may_have_arrived,
        }
    }

    /// What an answer that is no success means.
    pub(crate) fn refused(&self, doing: &str, answer: &Answer) -> StoreError {
        self.refused_as(answer.status, doing, answer)
    }

    /// The same for a server that says in the body what others say by a status.
    pub(crate) fn refused_as(&self, status: u16, doing: &str, answer: &Answer) -> StoreError {
        let place = self.place.clone();
        let doing = doing.to_owned();
        let reason = message(answer);
        match status {
            401 | 403 => StoreError::Denied {
                place,
                doing,
                reason,
                rights: self.rights.clone(),
            },
            404 => StoreError::NotFound {
                place,
                what: format!("what it takes to {doing}"),
            },
            // Nothing was done: it was too much, or came too early.
            408 | 412 | 423 | 425 | 429 => StoreError::Unreachable {
                place,
                doing,
                reason,
                sent: false,
            },
            500.. => StoreError::Unreachable {
                place,
                doing,
                reason,
                sent: true,
            },
            _ => StoreError::Refused {
                place,
                reason: format!("can't {doing}: {reason}"),
            },
        }
    }

    /// The body of a success, as `T`.
    pub(crate) fn parse<T: DeserializeOwned>(
        &self,
        doing: &str,
        answer: &Answer,
    ) -> Result<T, StoreError> {
        if !(200..300).contains(&answer.status) {
            return Err(self.refused(doing, answer));
        }
        serde_json::from_slice(&answer.body).map_err(|_| self.malformed(doing))
    }

    /// A success whose body does not matter.
    pub(crate) fn done(&self, doing: &str, answer: &Answer) -> Result<(), StoreError> {
        match answer.status {
            200..300 => Ok(()),
            _ => Err(self.refused(doing, answer)),
        }
    }

    /// Somebody else's changes came before ours each time.
    pub(crate) fn restless(&self, doing: &str) -> StoreError {
        StoreError::Unreachable {
            place: self.place.clone(),
            doing: doing.to_owned(),
            reason: "it is changed all the time".to_owned(),
            sent: false,
        }
    }

    /// What is there is none of what can be worked with.
    pub(crate) fn unusable(&self, reason: &str) -> StoreError {
        StoreError::Malformed {
            place: self.place.clone(),
            reason: reason.to_owned(),
        }
    }

    /// An answer that makes no sense.
    pub(crate) fn malformed(&self, doing: &str) -> StoreError {
        StoreError::Malformed {
            place: self.place.clone(),
            reason: format!("what it answered when it was to {doing} can't be understood"),
        }
    }
}

/// A client for a store, which trusts `ca`, too.
pub(crate) fn client(
    section: &Section,
    ca: Option<&str>,
    outside: &Outside<'_>,
) -> Result<Client, ConfigError> {
    let mut settings = outside.http.clone();
    if let Some(path) = ca {
        let pem = std::fs::read(section.resolve(path));
        let pem = pem.map_err(|error| section.invalid(format!("`ca`: {path}: {error}")))?;
        let roots = roots_from_pem(&pem);
        let roots = roots.map_err(|why| section.invalid(format!("`ca`: {path}: {why}")))?;
        settings.roots.extend(roots);
    }
    Client::new(settings).map_err(|error| section.invalid(error.to_string()))
}

/// A base address.
pub(crate) fn address(section: &Section, text: &str) -> Result<Address, ConfigError> {
    Address::parse(text).map_err(|error| section.invalid(format!("`address`: {error}")))
}

/// The address of what tells a machine its own credentials.
pub(crate) fn machine(section: &Section, text: &str) -> Result<Address, ConfigError> {
    Address::of_machine(text).map_err(|error| section.invalid(format!("`address`: {error}")))
}

/// A credential, now.
pub(crate) fn credential(
    section: &Section,
    name: &str,
    credential: &Credential,
    outside: &Outside<'_>,
) -> Result<Secret, ConfigError> {
    let got = credential.get(section, &outside.surroundings);
    got.map_err(|error| section.invalid(format!("`{name}`: {error}")))
}

/// A credential that is got again once it has ended.
pub(crate) fn source(
    section: &Section,
    name: &str,
    credential: Credential,
    outside: &Outside<'_>,
) -> Result<Source, ConfigError> {
    let got = Source::new(credential, section, &outside.surroundings);
    got.map_err(|error| section.invalid(format!("`{name}`: {error}")))
}

/// Gets it again.
pub(crate) fn again(place: &str, source: &Source) -> Result<Secret, StoreError> {
    source.get().map_err(|error| StoreError::Refused {
        place: place.to_owned(),
        reason: error.to_string(),
    })
}

/// What a form is, for [`Request::body`].
pub(crate) const FORM: &str = "application/x-www-form-urlencoded";

/// A form, which may hold a secret.
pub(crate) fn form(fields: &[(&str, &[u8])]) -> Secret {
    let mut out = Vec::with_capacity(32 << 10);
    for (n, (name, value)) in fields.iter().enumerate() {
        out.extend_from_slice(if n == 0 { b"" } else { b"&" });
        out.extend_from_slice(name.as_bytes());
        out.push(b'=');
        for piece in url::form_urlencoded::byte_serialize(value) {
            out.extend_from_slice(piece.as_bytes());
        }
    }
    Secret::new(out)
}

/// The server's own words, however it wraps them; its page, if it answers with one.
fn message(answer: &Answer) -> String {
    let words = serde_json::from_slice::<serde_json::Value>(&answer.body).map_or_else(
        |_| String::from_utf8_lossy(&answer.body).into_owned(),
        |body| {
            // Google and Azure have a table, with the words in it.
            let body = body.get("error").filter(|e| e.is_object()).unwrap_or(&body);
            let named = ["errors", "message", "Message", "error"]
                .iter()
                .find_map(|k| body.get(k));
            match named {
                Some(serde_json::Value::String(text)) => text.clone(),
                Some(serde_json::Value::Array(list)) => {
                    let texts = list.iter().filter_map(serde_json::Value::as_str);
                    texts.collect::<Vec<_>>().join("; ")
                }
                Some(other) => other.to_string(),
                None => String::new(),
            }
        },
    );
    let words = words.split_whitespace().collect::<Vec<_>>().join(" ");
    let mut short: String = words.chars().take(LONGEST_MESSAGE).collect();
    if short.len() < words.len() {
        short.push('…');
    }
    match short.is_empty() {
        true => format!("status {}", answer.status),
        false => format!("{short} (status {})", answer.status),
    }
}

/// A body in JSON, for [`Request::body`]. It has room from the start: a buffer that grows leaves
/// copies behind.
pub(crate) fn json(body: &impl Serialize) -> (&'static str, Secret) {
    let mut bytes = Vec::with_capacity(32 << 10);
    serde_json::to_writer(&mut bytes, body).expect("texts and numbers can be written");
    ("application/json", Secret::new(bytes))
}

/// A secret text in a body.
#[derive(Clone)]
pub(crate) struct Text(pub(crate) Secret);

impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = String::deserialize(from)?;
        Ok(Self(Secret::new(text.into_bytes())))
    }
}

impl Serialize for Text {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        match std::str::from_utf8(self.0.expose()) {
            Ok(text) => to.serialize_str(text),
            Err(_) => Err(serde::ser::Error::custom("the value is no text")),
        }
    }
}
