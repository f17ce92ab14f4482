//! Messages as a listener on loopback gets them, over each transport.

use std::io::Read;
use std::net::TcpListener;
use std::thread::JoinHandle;

use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject;

use super::*;
use crate::audit::export::tests::samples;
use crate::audit::profile;

const LIMIT: Duration = Duration::from_secs(5);

fn messages() -> Vec<String> {
    let render = profile("ocsf").unwrap().render;
    samples()
        .iter()
        .map(|record| message(record, &render(record)))
        .collect()
}

/// Takes the frames apart by their lengths.
fn frames(mut bytes: &[u8]) -> Vec<String> {
    let mut out = Vec::new();
    while !bytes.is_empty() {
        let space = bytes.iter().position(|b| *b == b' ').unwrap();
        let length: usize = std::str::from_utf8(&bytes[..space])
            .unwrap()
            .parse()
            .unwrap();
        let frame = &bytes[space + 1..space + 1 + length];
        out.push(String::from_utf8(frame.to_vec()).unwrap());
        bytes = &bytes[space + 1 + length..];
    }
    out
}

fn listen() -> (TcpListener, u16) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    (listener, port)
}

#[test]
fn the_header_is_as_rfc_5424_has_it() {
    let all = messages();
    // Without a host, its place is taken by the nil value.
    assert!(all[0].starts_with("<108>1 2026-11-23T08:00:00.000000Z - skewer - leak - {"));
    assert!(all[3].starts_with("<109>1 2026-11-23T08:00:00.000000Z build-1 skewer - step - {"));
    assert!(all.iter().all(|m| m.is_ascii() && !m.contains('\n')));
}

#[test]
fn receivers_are_read_and_written_alike() {
    for (text, shown) in [
        ("tcp://log.example:601", "tcp://log.example:601"),
        ("tls://log.example", "tls://log.example:6514"),
        ("udp://127.0.0.1", "udp://127.0.0.1:514"),
        ("udp://[::1]:5514", "udp://[::1]:5514"),
        ("tls://[::1]", "tls://[::1]:6514"),
    ] {
        assert_eq!(text.parse::<Receiver>().unwrap().to_string(), shown);
    }
    for bad in [
        "",
        "log",
        "http://log:1",
        "tcp://log",
        "tcp://log:x",
        "tcp://:1",
        "udp://[::1",
        "tcp://a b:1",
    ] {
        assert!(bad.parse::<Receiver>().is_err(), "{bad}");
    }
}

#[test]
fn tcp_frames_arrive_whole() {
    let (listener, port) = listen();
    let thread = std::thread::spawn(move || {
        let mut bytes = Vec::new();
        listener
            .accept()
            .unwrap()
            .0
            .read_to_end(&mut bytes)
            .unwrap();
        bytes
    });
    let receiver = format!("tcp://127.0.0.1:{port}").parse().unwrap();
    let mut sender = Sender::connect(&receiver, &[], LIMIT).unwrap();
    for message in messages() {
        sender.send(&message).unwrap();
    }
    sender.close().unwrap();
    assert_eq!(frames(&thread.join().unwrap()), messages());
}

#[test]
fn datagrams_are_messages_and_none_is_cut() {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.set_read_timeout(Some(LIMIT)).unwrap();
    let receiver = format!("udp://{}", socket.local_addr().unwrap())
        .parse()
        .unwrap();
    let mut sender = Sender::connect(&receiver, &[], LIMIT).unwrap();
    let mut buffer = vec![0; 65_536];
    for message in messages() {
        sender.send(&message).unwrap();
        let length = socket.recv(&mut buffer).unwrap();
        assert_eq!(&buffer[..length], message.as_bytes());
    }
    let long = "x".repeat(LONGEST_DATAGRAM + 1);
    assert!(matches!(
        sender.send(&long),
        Err(SyslogError::TooLong { .. })
    ));
}

/// A TLS log server for one connection.
fn tls_server() -> (u16, JoinHandle<Vec<u8>>) {
    let chain = include_bytes!("../../http/tests/good.pem");
    let chain = CertificateDer::pem_slice_iter(chain)
        .collect::<Result<Vec<_>, _>>()
        .unwrap();
    let key = PrivateKeyDer::from_pem_slice(include_bytes!("../../http/tests/leaf.pem")).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let settings = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .unwrap();
    let (listener, port) = listen();
    let thread = std::thread::spawn(move || {
        let tcp = listener.accept().unwrap().0;
        let tls = rustls::ServerConnection::new(Arc::new(settings)).unwrap();
        let mut bytes = Vec::new();
        let _ = StreamOwned::new(tls, tcp).read_to_end(&mut bytes);
        bytes
    });
    (port, thread)
}

#[test]
fn tls_frames_arrive_whole_and_only_at_who_is_trusted() {
    let root = include_bytes!("../../http/tests/root.pem");
    let roots: Vec<_> = CertificateDer::pem_slice_iter(root)
        .map(Result::unwrap)
        .collect();
    let (port, thread) = tls_server();
    let receiver = format!("tls://127.0.0.1:{port}").parse().unwrap();
    let mut sender = Sender::connect(&receiver, &roots, LIMIT).unwrap();
    for message in messages() {
        sender.send(&message).unwrap();
    }
    sender.close().unwrap();
    assert_eq!(frames(&thread.join().unwrap()), messages());
    let (port, thread) = tls_server();
    let receiver = format!("tls://127.0.0.1:{port}").parse().unwrap();
    assert!(
        Sender::connect(&receiver, &[], LIMIT).is_err(),
        "nobody is trusted"
    );
    assert!(
        thread.join().unwrap().is_empty(),
        "and nobody is told anything"
    );
}

#[test]
fn nobody_there_is_an_error() {
    let (listener, port) = listen();
    drop(listener);
    let receiver = format!("tcp://127.0.0.1:{port}").parse().unwrap();
    let error = Sender::connect(&receiver, &[], LIMIT).err().unwrap();
    assert!(
        error
            .to_string()
            .contains(&format!("tcp://127.0.0.1:{port}"))
    );
}
