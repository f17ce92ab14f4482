//! The sandbox over its wire: a client of 60 lines that hides nothing, and the tests by subject.

mod data;
mod faults;
mod keys;
mod lists;

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use serde_json::Value;

use super::{Options, Running, Sandbox};
use crate::secret::Secret;

/// What came back.
#[derive(Debug)]
pub(super) struct Got {
    pub(super) status: u16,
    pub(super) headers: Vec<(String, String)>,
    pub(super) body: String,
}

impl Got {
    pub(super) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|_| panic!("no JSON: {self:?}"))
    }

    pub(super) fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(n, _)| n == name);
        found.map(|(_, value)| value.as_str())
    }

    pub(super) fn code(&self) -> (u16, Value) {
        (self.status, self.json()["error"]["code"].clone())
    }
}

/// Sends a request, and reads until the server closes. An answer that is shorter than it says, or
/// none, is an error.
pub(super) fn send(
    running: &Running,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &str,
) -> std::io::Result<Got> {
    let mut stream = TcpStream::connect(running.address())?;
    stream.set_read_timeout(Some(Duration::from_secs(10)))?;
    let mut head = format!("{method} {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n");
    for (name, value) in headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    head.push_str(&format!("content-length: {}\r\n\r\n{body}", body.len()));
    stream.write_all(head.as_bytes())?;
    let mut text = Vec::new();
    stream.read_to_end(&mut text)?;
    let text = String::from_utf8_lossy(&text);
    let (head, body) = text
        .split_once("\r\n\r\n")
        .ok_or(std::io::ErrorKind::UnexpectedEof)?;
    let mut lines = head.lines();
    let status = lines
        .next()
        .and_then(|line| line.split(' ').nth(1))
        .and_then(|s| s.parse().ok());
    let headers: Vec<_> = lines
        .filter_map(|line| line.split_once(": "))
        .map(|(n, v)| (n.to_ascii_lowercase(), v.to_owned()))
        .collect();
    let said = headers
        .iter()
        .find(|(n, _)| n == "content-length")
        .and_then(|(_, v)| v.parse().ok());
    match said {
        Some(length) if body.len() < length => Err(std::io::ErrorKind::UnexpectedEof.into()),
        _ => Ok(Got {
            status: status.ok_or(std::io::ErrorKind::InvalidData)?,
            headers,
            body: body.to_owned(),
        }),
    }
}

pub(super) fn bearer(key: &Secret) -> String {
    format!("Bearer {}", String::from_utf8_lossy(key.expose()))
}

pub(super) fn call_with(
    running: &Running,
    key: &Secret,
    method: &str,
    path: &str,
    body: &str,
) -> Got {
    send(
        running,
        method,
        path,
        &[("authorization", &bearer(key))],
        body,
    )
    .unwrap()
}

/// With the admin key.
pub(super) fn admin(running: &Running, method: &str, path: &str, body: &str) -> Got {
    call_with(running, &running.admin_key(), method, path, body)
}

/// With the admin key, and it must go well.
pub(super) fn get(running: &Running, path: &str) -> Value {
    let got = admin(running, "GET", path, "");
    assert_eq!(got.status, 200, "{path}: {got:?}");
    got.json()
}

pub(super) fn post(running: &Running, path: &str, body: &Value) -> Value {
    let got = admin(running, "POST", path, &body.to_string());
    assert_eq!(got.status, 200, "{path}: {got:?}");
    got.json()
}

pub(super) fn start() -> Running {
    Sandbox::start(Options::default()).unwrap()
}

/// The path of the first project's keys.
pub(super) fn project_path(running: &Running) -> String {
    let id = running.with(|world| world.projects[0].id.clone());
    format!("/v1/organization/projects/{id}")
}
