//! Connections that can be cut: what no handler of a web framework can do to its client.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use axum::extract::connect_info::Connected;
use axum::serve::{IncomingStream, Listener};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};

/// What is done to a connection instead of writing an answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Cut {
    /// Nothing.
    #[default]
    No,
    /// Closed, nothing written.
    Close,
    /// Reset, nothing written.
    Reset,
    /// The head is written, and half of what the first write holds of the body.
    Body,
    /// So many bytes more.
    After(usize),
}

/// The handle that a handler cuts its connection with.
#[derive(Clone, Debug, Default)]
pub(super) struct Scissors(Arc<Mutex<Cut>>);

impl Scissors {
    pub(super) fn cut(&self, how: Cut) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = how;
    }

    fn get(&self) -> Cut {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Connected<IncomingStream<'_, Port>> for Scissors {
    fn connect_info(stream: IncomingStream<'_, Port>) -> Self {
        stream.io().scissors.clone()
    }
}

/// A port whose connections can be cut.
pub(super) struct Port(pub(super) TcpListener);

impl Listener for Port {
    type Io = Wire;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Wire, SocketAddr) {
        let (stream, address) = Listener::accept(&mut self.0).await;
        // Without it, an answer in two writes waits for the client's acknowledgement.
        let _ = stream.set_nodelay(true);
        let scissors = Scissors::default();
        (Wire { stream, scissors }, address)
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.0.local_addr()
    }
}

/// A connection.
pub(super) struct Wire {
    stream: TcpStream,
    scissors: Scissors,
}

impl Wire {
    /// How much of `bytes` may be written.
    fn allowed(&self, bytes: &[u8]) -> io::Result<usize> {
        let cut = self.scissors.get();
        let left = match cut {
            Cut::No => return Ok(bytes.len()),
            Cut::Close => 0,
            Cut::Reset => {
                self.stream.set_zero_linger()?;
                0
            }
            Cut::Body => {
                let head = memchr::memmem::find(bytes, b"\r\n\r\n").map_or(0, |at| at + 4);
                head + (bytes.len() - head) / 2
            }
            Cut::After(left) => left,
        };
        match left {
            0 => Err(io::ErrorKind::BrokenPipe.into()),
            left => Ok(left.min(bytes.len())),
        }
    }

    fn wrote(&self, allowed: usize, written: usize) {
        match self.scissors.get() {
            Cut::Body => self.scissors.cut(Cut::After(allowed - written)),
            Cut::After(left) => self.scissors.cut(Cut::After(left - written)),
            Cut::No | Cut::Close | Cut::Reset => {}
        }
    }
}

impl AsyncRead for Wire {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for Wire {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let allowed = self.allowed(bytes)?;
        let written = Pin::new(&mut self.stream).poll_write(context, &bytes[..allowed]);
        if let Poll::Ready(Ok(written)) = written {
            self.wrote(allowed, written);
        }
        written
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
