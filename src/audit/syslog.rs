//! RFC 5424 messages over TCP, TLS or UDP.
//!
//! TCP and TLS frame each message by its length (RFC 6587, RFC 5425), so that no byte in it can be
//! taken for its end. Syslog answers nothing: what was sent may still be lost, which is why the
//! trail itself stays here. Facts: RFC 5424, 5425, 5426, 6587.

use std::io::{self, Write};
use std::net::{SocketAddr, TcpStream, ToSocketAddrs, UdpSocket};
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

use super::{Event, Outcome, Record};

/// Facility 13, log audit.
const FACILITY: u8 = 13;

/// The longest message over UDP: larger ones don't fit into a datagram on every network's way, and
/// a cut audit record is worse than an error.
const LONGEST_DATAGRAM: usize = 60_000;

/// How messages travel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Transport {
    Tcp,
    Tls,
    Udp,
}

/// Where messages go: `tcp://host:port`, `tls://host:port` or `udp://host:port`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Receiver {
    transport: Transport,
    host: String,
    port: u16,
}

/// Why messages did not go.
#[derive(Debug, thiserror::Error)]
pub enum SyslogError {
    /// The address is none.
    #[error("`{0}` is no log server: write tcp://HOST:PORT, tls://HOST:PORT or udp://HOST:PORT")]
    NotAReceiver(String),
    /// It can't be reached, or went away.
    #[error("{receiver}: {error}")]
    Io {
        /// The log server.
        receiver: String,
        /// What the system said.
        error: io::Error,
    },
    /// Its certificate, or ours, is not accepted.
    #[error("{receiver}: {error}")]
    Tls {
        /// The log server.
        receiver: String,
        /// What is wrong.
        error: rustls::Error,
    },
    /// The message fits into no datagram.
    #[error("{receiver}: a message of {length} bytes fits into no datagram; use tcp:// or tls://")]
    TooLong {
        /// The log server.
        receiver: String,
        /// Its length.
        length: usize,
    },
}

impl std::fmt::Display for Receiver {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let scheme = match self.transport {
            Transport::Tcp => "tcp",
            Transport::Tls => "tls",
            Transport::Udp => "udp",
        };
        match self.host.contains(':') {
            true => write!(f, "{scheme}://[{}]:{}", self.host, self.port),
            false => write!(f, "{scheme}://{}:{}", self.host, self.port),
        }
    }
}

impl FromStr for Receiver {
    type Err = SyslogError;

    fn from_str(text: &str) -> Result<Self, SyslogError> {
        let read = || {
            let (scheme, rest) = text.split_once("://")?;
            let (transport, default) = match scheme {
                "tcp" => (Transport::Tcp, None),
                "tls" => (Transport::Tls, Some(6514)),
                "udp" => (Transport::Udp, Some(514)),
                _ => return None,
            };
            let (host, port) = match rest.strip_prefix('[') {
                Some(rest) => {
                    let (host, rest) = rest.split_once(']')?;
                    (
                        host,
                        if rest.is_empty() {
                            None
                        } else {
                            Some(rest.strip_prefix(':')?)
                        },
                    )
                }
                None => match rest.split_once(':') {
                    Some((host, port)) => (host, Some(port)),
                    None => (rest, None),
                },
            };
            let is_host = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | ':' | '_');
            let port = match port {
                Some(port) => port.parse().ok()?,
                None => default?,
            };
            let fits = !host.is_empty() && host.chars().all(is_host);
            fits.then(|| Self {
                transport,
                host: host.to_owned(),
                port,
            })
        };
        read().ok_or_else(|| SyslogError::NotAReceiver(text.to_owned()))
    }
}

/// A record as a message: its header, and `line` as its text.
pub fn message(record: &Record, line: &str) -> String {
    let (name, severity) = match &record.event {
        Event::Leak(_) => ("leak", 4),
        Event::Step(step) => match step.outcome {
            Outcome::Failure | Outcome::Unknown => ("step", 4),
            _ => ("step", 5),
        },
    };
    let host: String = record
        .who
        .host
        .text()
        .chars()
        .filter(char::is_ascii_graphic)
        .take(255)
        .collect();
    let host = if host.is_empty() { "-" } else { &host };
    // RFC 5424 allows for six digits of a second.
    let time = format!("{:.6}", record.time);
    format!(
        "<{}>1 {time} {host} skewer - {name} - {line}",
        FACILITY * 8 + severity
    )
}

/// A connection to a log server.
pub struct Sender {
    receiver: Receiver,
    line: Line,
}

enum Line {
    Tcp(TcpStream),
    Tls(Box<StreamOwned<ClientConnection, TcpStream>>),
    Udp(UdpSocket),
}

impl Sender {
    /// Connects; `roots` are whom TLS trusts, `limit` bounds each step.
    ///
    /// # Errors
    /// There is nobody, or nobody who can be trusted.
    pub fn connect(
        receiver: &Receiver,
        roots: &[CertificateDer<'static>],
        limit: Duration,
    ) -> Result<Self, SyslogError> {
        let wrong = |error| SyslogError::Io {
            receiver: receiver.to_string(),
            error,
        };
        let addresses = (receiver.host.as_str(), receiver.port).to_socket_addrs();
        let addresses: Vec<SocketAddr> = addresses.map_err(wrong)?.collect();
        let line = match receiver.transport {
            Transport::Udp => Line::Udp(datagrams(&addresses).map_err(wrong)?),
            Transport::Tcp => Line::Tcp(connect(&addresses, limit).map_err(wrong)?),
            Transport::Tls => {
                let broken = |error| SyslogError::Tls {
                    receiver: receiver.to_string(),
                    error,
                };
                let connection = tls(receiver, roots).map_err(broken)?;
                let tcp = connect(&addresses, limit).map_err(wrong)?;
                let mut stream = StreamOwned::new(connection, tcp);
                // Who it is should be known before anything is sent.
                while stream.conn.is_handshaking() {
                    stream.conn.complete_io(&mut stream.sock).map_err(wrong)?;
                }
                Line::Tls(Box::new(stream))
            }
        };
        Ok(Self {
            receiver: receiver.clone(),
            line,
        })
    }

    /// Sends one message.
    ///
    /// # Errors
    /// It could not be handed to the network; then connect anew.
    pub fn send(&mut self, message: &str) -> Result<(), SyslogError> {
        let receiver = self.receiver.to_string();
        let framed = || format!("{} {message}", message.len()).into_bytes();
        let sent = match &mut self.line {
            Line::Udp(_) if message.len() > LONGEST_DATAGRAM => {
                return Err(SyslogError::TooLong {
                    receiver,
                    length: message.len(),
                });
            }
            Line::Udp(socket) => socket.send(message.as_bytes()).map(|_| ()),
            Line::Tcp(stream) => stream.write_all(&framed()),
            Line::Tls(stream) => stream.write_all(&framed()).and_then(|()| stream.flush()),
        };
        sent.map_err(|error| SyslogError::Io { receiver, error })
    }

    /// Ends the connection, so that what was sent arrives.
    ///
    /// # Errors
    /// It broke before.
    pub fn close(mut self) -> Result<(), SyslogError> {
        let closed = match &mut self.line {
            Line::Udp(_) => Ok(()),
            Line::Tcp(stream) => stream.shutdown(std::net::Shutdown::Write),
            Line::Tls(stream) => {
                stream.conn.send_close_notify();
                stream
                    .flush()
                    .and_then(|()| stream.sock.shutdown(std::net::Shutdown::Write))
            }
        };
        closed.map_err(|error| SyslogError::Io {
            receiver: self.receiver.to_string(),
            error,
        })
    }
}

/// The first address that answers.
fn connect(addresses: &[SocketAddr], limit: Duration) -> io::Result<TcpStream> {
    let mut last = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    for address in addresses {
        match TcpStream::connect_timeout(address, limit) {
            Ok(stream) => {
                stream.set_write_timeout(Some(limit))?;
                stream.set_read_timeout(Some(limit))?;
                return Ok(stream);
            }
            Err(error) => last = error,
        }
    }
    Err(last)
}

fn datagrams(addresses: &[SocketAddr]) -> io::Result<UdpSocket> {
    let any = |address: &SocketAddr| {
        if address.is_ipv4() {
            "0.0.0.0:0"
        } else {
            "[::]:0"
        }
    };
    let mut last = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    for address in addresses {
        let socket = UdpSocket::bind(any(address));
        match socket.and_then(|socket| socket.connect(address).map(|()| socket)) {
            Ok(socket) => return Ok(socket),
            Err(error) => last = error,
        }
    }
    Err(last)
}

fn tls(
    receiver: &Receiver,
    roots: &[CertificateDer<'static>],
) -> Result<ClientConnection, rustls::Error> {
    let mut store = RootCertStore::empty();
    for root in roots {
        store.add(root.clone())?;
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(store)
        .with_no_client_auth();
    let name = ServerName::try_from(receiver.host.clone()).map_err(|_| {
        rustls::Error::General("the host's name can be in no certificate".to_owned())
    })?;
    ClientConnection::new(Arc::new(config), name)
}

#[cfg(test)]
mod tests;
