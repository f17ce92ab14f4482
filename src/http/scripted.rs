//! For tests: a server on loopback that answers as it is told, down to the byte.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use super::{Address, Client, Settings};

/// A request as it came in.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    pub(crate) method: String,
    /// Path and query, as sent.
    pub(crate) target: String,
    /// The head, in lower case.
    pub(crate) head: String,
    pub(crate) body: String,
}

/// Ends when it is dropped.
pub(crate) struct Scripted {
    at: SocketAddr,
    asked: Arc<Mutex<Vec<Asked>>>,
    over: Arc<AtomicBool>,
    /// Connects, so that whoever waits for that goes on.
    knock: Box<dyn Fn() + Send>,
    thread: Option<JoinHandle<()>>,
}

impl Scripted {
    /// `answer` gets each request and its number, from 0, and gives the bytes to be sent; then the
    /// connection is closed.
    pub(crate) fn new(answer: impl FnMut(usize, &Asked) -> Vec<u8> + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let at = listener.local_addr().unwrap();
        let knock = move || drop(TcpStream::connect(at));
        Self::serve(at, knock, move || Ok(listener.accept()?.0), answer)
    }

    /// The same at a socket of this machine.
    #[cfg(unix)]
    pub(crate) fn at_socket(
        socket: &std::path::Path,
        answer: impl FnMut(usize, &Asked) -> Vec<u8> + Send + 'static,
    ) -> Self {
        use std::os::unix::net::{UnixListener, UnixStream};
        let listener = UnixListener::bind(socket).unwrap();
        let path = socket.to_owned();
        let knock = move || drop(UnixStream::connect(&path));
        let nowhere = SocketAddr::from(([127, 0, 0, 1], 0));
        Self::serve(nowhere, knock, move || Ok(listener.accept()?.0), answer)
    }

    fn serve<S: Read + Write>(
        at: SocketAddr,
        knock: impl Fn() + Send + 'static,
        accept: impl Fn() -> std::io::Result<S> + Send + 'static,
        mut answer: impl FnMut(usize, &Asked) -> Vec<u8> + Send + 'static,
    ) -> Self {
        let asked = Arc::new(Mutex::new(Vec::new()));
        let over = Arc::new(AtomicBool::new(false));
        let (log, end) = (Arc::clone(&asked), Arc::clone(&over));
        let thread = std::thread::spawn(move || {
            loop {
                let stream = accept();
                if end.load(Ordering::Relaxed) {
                    return;
                }
                let Ok(mut stream) = stream else { continue };
                let Some(request) = read(&mut stream) else {
                    continue;
                };
                let number = log.lock().unwrap().len();
                log.lock().unwrap().push(request.clone());
                let _ = stream.write_all(&answer(number, &request));
            }
        });
        Self {
            at,
            asked,
            over,
            knock: Box::new(knock),
            thread: Some(thread),
        }
    }

    pub(crate) fn address(&self, path: &str) -> Address {
        Address::parse(&format!("http://{}{path}", self.at)).unwrap()
    }

    pub(crate) fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap().clone()
    }
}

impl Drop for Scripted {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        (self.knock)();
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

fn read(stream: &mut impl Read) -> Option<Asked> {
    let mut input = BufReader::new(stream);
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if input.read_line(&mut head).ok()? == 0 {
            return None;
        }
    }
    let (method, rest) = head.split_once(' ')?;
    let (target, _) = rest.split_once(' ')?;
    let (method, target) = (method.to_owned(), target.to_owned());
    let head = head.to_ascii_lowercase();
    let length = head
        .lines()
        .find_map(|line| line.strip_prefix("content-length: "))
        .map_or(0, |n| n.trim().parse().unwrap());
    let mut body = vec![0; length];
    input.read_exact(&mut body).ok()?;
    Some(Asked {
        method,
        target,
        head,
        body: String::from_utf8(body).unwrap(),
    })
}

/// An answer with this status, these headers and this body.
pub(crate) fn answer(status: u16, headers: &[(&str, &str)], body: &str) -> Vec<u8> {
    let mut out = format!("HTTP/1.1 {status} X\r\ncontent-length: {}\r\n", body.len());
    for (name, value) in headers {
        out += &format!("{name}: {value}\r\n");
    }
    out += "connection: close\r\n\r\n";
    out += body;
    out.into_bytes()
}

/// An answer in JSON.
pub(crate) fn json(status: u16, body: &str) -> Vec<u8> {
    answer(status, &[("content-type", "application/json")], body)
}

/// A client that knows loopback alone, and loses patience soon.
pub(crate) fn client() -> Client {
    let seconds = std::time::Duration::from_secs;
    Client::new(Settings {
        exchange: seconds(2),
        connect: seconds(2),
        largest_body: 1 << 20,
        ..Settings::default()
    })
    .unwrap()
}
