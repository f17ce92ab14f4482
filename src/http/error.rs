//! What can go wrong between here and a server: who was asked, what happened, whether the request
//! can have arrived. Never what was sent, and never what came back.

use std::error::Error as _;
use std::time::Duration;

/// Why an address is not talked to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadAddress {
    /// It can't be read.
    #[error("this is no address; write one like https://api.openai.com/v1")]
    NotAnAddress,
    /// It is plain http, and not this machine.
    #[error(
        "only https is spoken; plain http is for 127.0.0.1, [::1], localhost and a cloud's 169.254.0.0/16 alone"
    )]
    NotEncrypted,
    /// It has a user or a password in it.
    #[error("an address must not hold a user or a password: addresses are logged")]
    HoldsSecret,
    /// It has a query or a fragment.
    #[error("a base address ends with its path, without `?` and `#`")]
    MoreThanAPath,
}

/// An exchange that failed.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{host}: {trouble}")]
pub struct Error {
    /// The host that was asked.
    pub host: String,
    /// What happened.
    pub trouble: Trouble,
    /// Whether the server can have got the request: then a change may have been made.
    pub may_have_arrived: bool,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Trouble {
    /// The settings make no client.
    #[error("the HTTP client can't be made: {0}")]
    Settings(String),
    /// Nobody there, no such host, refused, a proxy that doesn't work.
    #[error("can't connect: {0}; look at the network, the proxy and the address")]
    Unreachable(String),
    /// It is not who it says it is, or nobody we trust says so.
    #[error("its certificate is not accepted: {0}")]
    Certificate(String),
    /// It took too long.
    #[error("no whole answer within {} s", .0.as_secs())]
    TimedOut(Duration),
    /// The connection ended, or broke, before the answer was whole.
    #[error("the connection broke before the answer was whole")]
    CutShort,
    /// The body is larger than any that is expected.
    #[error("the answer is larger than {0} bytes")]
    TooLarge(usize),
    /// It wants us to go elsewhere.
    #[error(
        "it answered with a redirect ({0}), which is never followed: a captive portal, or the wrong address"
    )]
    Redirect(u16),
    /// Something in the request that HTTP can't carry.
    #[error("the request can't be sent: {0}")]
    Request(&'static str),
}

impl Trouble {
    /// What reqwest's error comes down to. Its own text is kept only where it says who could not
    /// be reached: it holds no headers and, without the address, nothing of the request.
    pub(super) fn of(error: reqwest::Error, limit: Duration) -> Self {
        let error = error.without_url();
        if error.is_timeout() {
            return Self::TimedOut(limit);
        }
        if let Some(why) = certificate(&error) {
            return Self::Certificate(why);
        }
        if error.is_connect() {
            return Self::Unreachable(innermost(&error));
        }
        if error.is_builder() {
            return Self::Request("a header holds what no header can");
        }
        Self::CutShort
    }
}

/// What TLS has against the server's certificate. I/O errors hide each other: what one of them was
/// made of is not its source.
fn certificate(error: &reqwest::Error) -> Option<String> {
    let mut next = error.source();
    while let Some(cause) = next {
        let mut inner = cause;
        while let Some(hidden) = inner
            .downcast_ref::<std::io::Error>()
            .and_then(std::io::Error::get_ref)
        {
            inner = hidden;
        }
        if let Some(tls) = inner.downcast_ref::<rustls::Error>() {
            return Some(tls.to_string());
        }
        next = cause.source();
    }
    None
}

fn innermost(error: &reqwest::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        text = cause.to_string();
        next = cause.source();
    }
    text
}
