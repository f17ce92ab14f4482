//! The one HTTP client and the one TLS backend of the program, for all rooms that talk to a
//! server. It says what it may do and no more: https only (loopback may be plain, and what tells a
//! machine its own credentials), no
//! redirects, no proxy and no certificate that it was not given, every wait and every body bounded.
//! What listens on a socket of this machine is talked to by the same client.
//!
//! Secrets travel in headers and bodies that are marked as such. They are never part of an
//! address, and no error holds what was sent or what came back.

mod address;
mod client;
mod error;
#[cfg(test)]
pub(crate) mod scripted;
#[cfg(test)]
mod tests;

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use zeroize::Zeroizing;

pub use self::address::Address;
pub use self::client::Client;
pub use self::error::{BadAddress, Error, Trouble};
use crate::secret::Secret;

/// A certificate that servers' certificates may lead to.
pub type Root = rustls::pki_types::CertificateDer<'static>;

/// What a client is given.
#[derive(Clone, Debug)]
pub struct Settings {
    /// How long a connection may take to be made.
    pub connect: Duration,
    /// How long an exchange may take, from the request to the last byte of the answer.
    pub exchange: Duration,
    /// The largest body that is read, in bytes.
    pub largest_body: usize,
    /// A proxy for everything but loopback: `http://`, `https://` or `socks5h://`.
    pub proxy: Option<Secret>,
    /// Hosts that are reached without the proxy, as in `NO_PROXY`.
    pub no_proxy: String,
    /// Whom to trust. Empty: nobody, so that only plain loopback can be reached.
    pub roots: Vec<Root>,
    /// How we show who we are, to servers that ask for a certificate.
    pub identity: Option<Identity>,
    /// A socket of this machine that everything goes through, whatever the address says.
    pub socket: Option<PathBuf>,
}

/// A certificate of ours, and its private key.
#[derive(Clone, Debug)]
pub struct Identity {
    /// The certificate, and those that lead from it to a root.
    pub certificates: Vec<Root>,
    /// The private key, as PEM.
    pub key: Secret,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(10),
            exchange: Duration::from_secs(60),
            largest_body: 16 << 20,
            proxy: None,
            no_proxy: String::new(),
            roots: Vec::new(),
            identity: None,
            socket: None,
        }
    }
}

/// The certificates in a PEM file.
///
/// # Errors
/// Why it holds none that can be used.
pub fn roots_from_pem(pem: &[u8]) -> Result<Vec<Root>, String> {
    use rustls::pki_types::pem::PemObject;
    let all: Result<Vec<Root>, _> = Root::pem_slice_iter(pem).collect();
    match all {
        Ok(all) if all.is_empty() => Err("there is no certificate in it".to_owned()),
        Ok(all) => Ok(all),
        Err(error) => Err(format!("it is no PEM: {error}")),
    }
}

/// What is asked of the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// Read. May be repeated.
    Get,
    /// Make or change. May not.
    Post,
    /// Put something in a place.
    Put,
    /// Change a part.
    Patch,
    /// Remove.
    Delete,
}

impl fmt::Display for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Get => "GET",
            Self::Post => "POST",
            Self::Put => "PUT",
            Self::Patch => "PATCH",
            Self::Delete => "DELETE",
        })
    }
}

/// One request.
#[derive(Debug)]
pub struct Request {
    method: Method,
    address: Address,
    headers: Vec<(&'static str, Secret)>,
    body: Option<(&'static str, Secret)>,
}

impl Request {
    /// Without headers of its own and without a body.
    pub fn new(method: Method, address: Address) -> Self {
        Self {
            method,
            address,
            headers: Vec::new(),
            body: None,
        }
    }

    /// Adds a header.
    #[must_use]
    pub fn header(mut self, name: &'static str, value: &str) -> Self {
        self.headers.push((name, Secret::new(value.into())));
        self
    }

    /// Adds a header that holds a secret behind a word, such as `Bearer`; no word, no space.
    #[must_use]
    pub fn secret_header(mut self, name: &'static str, word: &str, secret: &Secret) -> Self {
        let space = if word.is_empty() { "" } else { " " };
        let length = word.len() + space.len() + secret.expose().len();
        let mut value = Vec::with_capacity(length);
        value.extend_from_slice(word.as_bytes());
        value.extend_from_slice(space.as_bytes());
        value.extend_from_slice(secret.expose());
        self.headers.push((name, Secret::new(value)));
        self
    }

    /// Sends `body`, which is `kind` (`application/json`). It may hold a secret.
    #[must_use]
    pub fn body(mut self, kind: &'static str, body: Secret) -> Self {
        self.body = Some((kind, body));
        self
    }
}

/// What a server answered, whatever the status.
pub struct Answer {
    /// The status.
    pub status: u16,
    /// The whole body. It may hold a secret.
    pub body: Zeroizing<Vec<u8>>,
    headers: reqwest::header::HeaderMap,
}

impl Answer {
    /// A header's value, if it is there once or more and is text.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }
}

impl fmt::Debug for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Answer({}, {} bytes)", self.status, self.body.len())
    }
}
