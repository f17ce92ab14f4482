//! The client against a server that misbehaves, down to the byte.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use super::scripted::{Scripted, answer, client, json};
use super::*;

fn get(server: &Scripted) -> Result<Answer, Error> {
    client().send(Request::new(Method::Get, server.address("/v1/models")))
}

#[test]
fn secrets_travel_in_the_head_and_the_body_only() {
    let server = Scripted::new(|_, _| json(200, "{}"));
    let secret = Secret::new(b"a-very-secret-value".to_vec());
    let request = Request::new(Method::Post, server.address("/x").query("a b", "c&d"))
        .secret_header("authorization", "Bearer", &secret)
        .secret_header("x-token", "", &secret)
        .body("application/json", Secret::new(b"{\"v\":1}".to_vec()));
    assert!(!format!("{request:?}").contains("very-secret"));
    let got = client().send(request).unwrap();
    assert_eq!((got.status, got.body.as_slice()), (200, b"{}".as_slice()));
    assert_eq!(got.header("Content-Type"), Some("application/json"));
    let asked = &server.asked()[0];
    assert_eq!(
        (asked.method.as_str(), asked.target.as_str()),
        ("POST", "/x?a+b=c%26d")
    );
    assert!(
        asked
            .head
            .contains("\r\nauthorization: bearer a-very-secret-value\r\n")
    );
    assert!(asked.head.contains("\r\nx-token: a-very-secret-value\r\n"));
    assert!(asked.head.contains("\r\nuser-agent: skewer/"));
    assert_eq!(asked.body, "{\"v\":1}");
}

#[test]
fn a_redirect_is_never_followed() {
    let elsewhere = Scripted::new(|_, _| json(200, "{}"));
    let to = elsewhere.address("/stolen").to_string();
    let server = Scripted::new(move |_, _| answer(302, &[("location", &to)], ""));
    let error = get(&server).unwrap_err();
    assert_eq!(error.trouble, Trouble::Redirect(302));
    assert!(elsewhere.asked().is_empty());
}

#[test]
fn what_breaks_off_or_never_ends_is_an_error_and_may_have_arrived() {
    let cut =
        Scripted::new(|_, _| b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{\"a\"".to_vec());
    let error = get(&cut).unwrap_err();
    assert_eq!(
        (error.trouble, error.may_have_arrived),
        (Trouble::CutShort, true)
    );

    let silent = Scripted::new(|_, _| Vec::new());
    let error = get(&silent).unwrap_err();
    assert_eq!(
        (error.trouble, error.may_have_arrived),
        (Trouble::CutShort, true)
    );

    let large = Scripted::new(|_, _| json(200, &" ".repeat((1 << 20) + 1)));
    assert_eq!(get(&large).unwrap_err().trouble, Trouble::TooLarge(1 << 20));

    // Without a length, the limit holds just the same.
    let endless = Scripted::new(|_, _| {
        let mut out = b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n".to_vec();
        out.resize(out.len() + (1 << 20) + 10, b' ');
        out
    });
    assert_eq!(
        get(&endless).unwrap_err().trouble,
        Trouble::TooLarge(1 << 20)
    );

    let slow = Scripted::new(|_, _| {
        std::thread::sleep(Duration::from_millis(2500));
        Vec::new()
    });
    let error = get(&slow).unwrap_err();
    let expected = Trouble::TimedOut(Duration::from_secs(2));
    assert_eq!((error.trouble, error.may_have_arrived), (expected, true));
}

#[test]
fn nobody_there_means_that_nothing_arrived() {
    let server = Scripted::new(|_, _| Vec::new());
    let address = server.address("/");
    drop(server);
    let error = client()
        .send(Request::new(Method::Post, address))
        .unwrap_err();
    assert!(matches!(error.trouble, Trouble::Unreachable(_)), "{error}");
    assert!(!error.may_have_arrived);
}

#[test]
fn loopback_is_reached_without_the_proxy() {
    let proxy = Scripted::new(|_, _| json(502, "proxy"));
    let server = Scripted::new(|_, _| json(200, "server"));
    let through = |address: Address| {
        let settings = Settings {
            proxy: Some(Secret::new(proxy.address("").to_string().into_bytes())),
            no_proxy: "direct.example".to_owned(),
            ..Settings::default()
        };
        let client = Client::new(settings).unwrap();
        client.send(Request::new(Method::Get, address))
    };
    assert_eq!(through(server.address("/")).unwrap().status, 200);
    assert!(proxy.asked().is_empty());
    let far = Address::parse("https://api.openai.com/v1").unwrap();
    let error = through(far).unwrap_err();
    assert!(!error.may_have_arrived, "{error:?}");
    assert_eq!(proxy.asked()[0].method, "CONNECT");
}

/// A TLS server for one connection.
fn tls_server(chain: &str) -> (std::net::SocketAddr, std::thread::JoinHandle<()>) {
    let chain = CertificateDer::pem_slice_iter(chain.as_bytes())
        .collect::<Result<Vec<_>, _>>()
        .unwrap();
    let key = PrivateKeyDer::from_pem_slice(include_bytes!("tests/leaf.pem")).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let settings = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let at = listener.local_addr().unwrap();
    let thread = std::thread::spawn(move || {
        let Ok((mut tcp, _)) = listener.accept() else {
            return;
        };
        let mut tls = rustls::ServerConnection::new(Arc::new(settings)).unwrap();
        let mut stream = rustls::Stream::new(&mut tls, &mut tcp);
        let mut head = [0; 4096];
        if stream.read(&mut head).is_ok() {
            let _ = stream.write_all(&json(200, "{}"));
        }
        tls.send_close_notify();
        let _ = tls.complete_io(&mut tcp);
    });
    (at, thread)
}

const EXPIRED: &str = include_str!("tests/expired.pem");
const GOOD: &str = include_str!("tests/good.pem");
const ROOT: &[u8] = include_bytes!("tests/root.pem");

fn over_tls(chain: &str, roots: Vec<Root>, host: &str) -> Result<Answer, Error> {
    let (at, thread) = tls_server(chain);
    let settings = Settings {
        roots,
        ..Settings::default()
    };
    let address = Address::parse(&format!("https://{host}:{}/", at.port())).unwrap();
    let got = Client::new(settings)
        .unwrap()
        .send(Request::new(Method::Get, address));
    thread.join().unwrap();
    got
}

#[test]
fn only_those_are_trusted_who_were_named() {
    let roots = roots_from_pem(ROOT).unwrap();
    assert_eq!(
        over_tls(GOOD, roots.clone(), "127.0.0.1").unwrap().status,
        200
    );
    // The name is this machine, and nobody is asked where it is.
    assert_eq!(
        over_tls(GOOD, roots.clone(), "localhost").unwrap().status,
        200
    );
    for (chain, roots, word) in [
        (EXPIRED, roots.clone(), "expired"),
        (GOOD, Vec::new(), "UnknownIssuer"),
        (
            GOOD,
            roots_from_pem(GOOD.as_bytes()).unwrap(),
            "UnknownIssuer",
        ),
    ] {
        let error = over_tls(chain, roots, "127.0.0.1").unwrap_err();
        assert!(
            matches!(&error.trouble, Trouble::Certificate(why) if why.contains(word)),
            "{error}"
        );
        assert!(!error.may_have_arrived);
    }
}

#[test]
fn settings_that_make_no_client_say_so() {
    assert!(
        roots_from_pem(b"hello")
            .unwrap_err()
            .contains("no certificate")
    );
    let broken = b"-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----\n";
    assert!(roots_from_pem(broken).is_err());
    let settings = Settings {
        proxy: Some(Secret::new(b"http://user:hunter2@[bad".to_vec())),
        ..Settings::default()
    };
    let said = Client::new(settings).unwrap_err().to_string();
    assert!(
        said.contains("proxy") && !said.contains("hunter2"),
        "{said}"
    );
}
