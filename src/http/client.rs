//! Sends one request, waits for one answer.

use std::io::Read;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;

use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use reqwest::{NoProxy, Proxy, blocking, redirect, retry};
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};
use zeroize::Zeroizing;

use super::{Answer, Error, Method, Request, Settings, Trouble};

/// What is always reached without a proxy: a proxy would be handed plain text, and has another
/// link.
const LOOPBACK: &str = "localhost,127.0.0.0/8,::1,169.254.0.0/16";

/// Everything goes through a socket of this machine.
#[cfg(unix)]
fn through(
    builder: blocking::ClientBuilder,
    socket: &Path,
) -> Result<blocking::ClientBuilder, String> {
    Ok(builder.unix_socket(socket))
}

#[cfg(not(unix))]
fn through(_: blocking::ClientBuilder, socket: &Path) -> Result<blocking::ClientBuilder, String> {
    Err(format!(
        "{}: this system has no such sockets",
        socket.display()
    ))
}

/// Talks to servers. Cheap to clone; clones share connections.
#[derive(Clone, Debug)]
pub struct Client {
    inner: blocking::Client,
    settings: Arc<Settings>,
}

impl Client {
    /// Makes a client. It brings its own TLS, and changes nothing for the rest of the process.
    ///
    /// # Errors
    /// The proxy can't be read, or a certificate can't be used.
    pub fn new(settings: Settings) -> Result<Self, Error> {
        let wrong = |why: String| Error {
            host: "network settings".to_owned(),
            trouble: Trouble::Settings(why),
            may_have_arrived: false,
        };
        let mut roots = RootCertStore::empty();
        for root in &settings.roots {
            roots
                .add(root.clone())
                .map_err(|error| wrong(format!("a root certificate can't be used: {error}")))?;
        }
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let tls = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| wrong(error.to_string()))?
            .with_root_certificates(roots);
        let tls = match &settings.identity {
            None => tls.with_no_client_auth(),
            Some(identity) => {
                let unusable = |why: String| wrong(format!("our certificate can't be used: {why}"));
                let key = PrivateKeyDer::from_pem_slice(identity.key.expose())
                    .map_err(|error| unusable(format!("its key is no PEM: {error}")))?;
                tls.with_client_auth_cert(identity.certificates.clone(), key)
                    .map_err(|error| unusable(error.to_string()))?
            }
        };
        let mut builder = blocking::Client::builder()
            .tls_backend_preconfigured(tls)
            .redirect(redirect::Policy::none())
            // Whoever calls knows what may be sent twice.
            .retry(retry::never())
            .referer(false)
            .no_proxy()
            .connect_timeout(settings.connect)
            .timeout(settings.exchange)
            .user_agent(concat!("skewer/", env!("CARGO_PKG_VERSION")))
            // This name is trusted to be this machine, so nobody is asked where it is.
            .resolve("localhost", SocketAddr::from((Ipv4Addr::LOCALHOST, 0)));
        if let Some(proxy) = &settings.proxy {
            let unreadable = || wrong("the proxy's address can't be read".to_owned());
            let address = std::str::from_utf8(proxy.expose()).map_err(|_| unreadable())?;
            let proxy = Proxy::all(address).map_err(|_| unreadable())?;
            let without = format!("{LOOPBACK},{}", settings.no_proxy);
            builder = builder.proxy(proxy.no_proxy(NoProxy::from_string(&without)));
        }
        if let Some(socket) = &settings.socket {
            builder = through(builder, socket).map_err(wrong)?;
        }
        let inner = builder
            .build()
            .map_err(|error| wrong(error.without_url().to_string()))?;
        Ok(Self {
            inner,
            settings: Arc::new(settings),
        })
    }

    /// Sends a request and reads the whole answer. Any status is an answer, but for redirects.
    ///
    /// # Errors
    /// There was no whole answer; or it was a redirect.
    pub fn send(&self, request: Request) -> Result<Answer, Error> {
        let host = request.address.host();
        let fail = |trouble: Trouble, may_have_arrived: bool| Error {
            host: host.clone(),
            trouble,
            may_have_arrived,
        };
        let mut headers = HeaderMap::new();
        for (name, value) in &request.headers {
            let mut value = HeaderValue::from_bytes(value.expose())
                .map_err(|_| fail(Trouble::Request("a header holds what no header can"), false))?;
            value.set_sensitive(true);
            headers.append(HeaderName::from_static(name), value);
        }
        let method = match request.method {
            Method::Get => reqwest::Method::GET,
            Method::Post => reqwest::Method::POST,
            Method::Put => reqwest::Method::PUT,
            Method::Patch => reqwest::Method::PATCH,
            Method::Delete => reqwest::Method::DELETE,
        };
        let mut sent = self.inner.request(method, request.address.url());
        if let Some((kind, body)) = &request.body {
            headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
            sent = sent.body(body.expose().to_vec());
        }
        let limit = self.settings.exchange;
        let answer = sent.headers(headers).send().map_err(|error| {
            let arrived = !error.is_connect() && !error.is_builder();
            let trouble = Trouble::of(error, limit);
            let arrived = arrived && !matches!(trouble, Trouble::Certificate(_));
            fail(trouble, arrived)
        })?;
        let status = answer.status();
        if status.is_redirection() {
            return Err(fail(Trouble::Redirect(status.as_u16()), true));
        }
        let headers = answer.headers().clone();
        let body = self.body(answer).map_err(|trouble| fail(trouble, true))?;
        Ok(Answer {
            status: status.as_u16(),
            body,
            headers,
        })
    }

    fn body(&self, answer: blocking::Response) -> Result<Zeroizing<Vec<u8>>, Trouble> {
        let largest = self.settings.largest_body;
        let known = answer.content_length().unwrap_or(0);
        if known > largest as u64 {
            return Err(Trouble::TooLarge(largest));
        }
        // Room for all of it at once: a buffer that grows leaves copies behind.
        let mut body = Zeroizing::new(Vec::with_capacity((known as usize).max(8192)));
        let read = answer.take(largest as u64 + 1).read_to_end(&mut body);
        match read {
            Ok(_) if body.len() > largest => Err(Trouble::TooLarge(largest)),
            Ok(_) => Ok(body),
            Err(error) => Err(match error.kind() {
                std::io::ErrorKind::TimedOut => Trouble::TimedOut(self.settings.exchange),
                _ => Trouble::CutShort,
            }),
        }
    }
}
