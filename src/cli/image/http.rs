//! As much of HTTP/1.1 (RFC 9112) as a local daemon needs: one request, one answer.

use std::io::{self, BufRead, BufReader, Read, Write};

/// How long a status line with all headers may be.
const HEAD: u64 = 64 << 10;

/// An answer: its status, and its body as a stream.
pub(super) struct Answer<S> {
    /// Such as 200.
    pub(super) status: u16,
    from: BufReader<S>,
    frame: Frame,
}

/// How the body ends.
enum Frame {
    /// Behind so many bytes.
    Length(u64),
    /// Behind the last chunk; so much of this one is left.
    Chunk(u64),
    /// With the connection.
    Connection,
    /// It has.
    Ended,
}

fn broken(how: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, how)
}

/// Asks for `path`, which needs no more escaping.
///
/// # Errors
/// The connection fails, or what comes is no HTTP.
pub(super) fn get<S: Read + Write>(mut stream: S, path: &str) -> io::Result<Answer<S>> {
    // Without a connection that ends, a body might have no end.
    let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes())?;
    stream.flush()?;
    let mut from = BufReader::with_capacity(256 << 10, stream);
    let mut left = HEAD;
    let first = line(&mut from, &mut left)?;
    let status = first
        .strip_prefix("HTTP/1.")
        .and_then(|rest| rest.get(2..5));
    let status = status.and_then(|status| status.parse().ok());
    let status = status.ok_or_else(|| broken("what answers does not speak HTTP"))?;
    let mut frame = Frame::Connection;
    loop {
        let header = line(&mut from, &mut left)?;
        if header.is_empty() {
            break;
        }
        let (name, value) = header.split_once(':').unwrap_or((&header, ""));
        let value = value.trim();
        match name.to_ascii_lowercase().as_str() {
            "transfer-encoding" if value.eq_ignore_ascii_case("chunked") => frame = Frame::Chunk(0),
            "content-length" if !matches!(frame, Frame::Chunk(_)) => {
                let length = value
                    .parse()
                    .map_err(|_| broken("a length that is no number"))?;
                frame = Frame::Length(length);
            }
            _ => {}
        }
    }
    Ok(Answer {
        status,
        from,
        frame,
    })
}

/// A line without its end.
fn line(from: &mut impl BufRead, left: &mut u64) -> io::Result<String> {
    let mut bytes = Vec::new();
    let read = from.take(*left).read_until(b'\n', &mut bytes)?;
    *left -= read as u64;
    if bytes.pop() != Some(b'\n') {
        return Err(match left {
            0 => broken("a header without an end"),
            _ => io::ErrorKind::UnexpectedEof.into(),
        });
    }
    if bytes.last() == Some(&b'\r') {
        bytes.pop();
    }
    String::from_utf8(bytes).map_err(|_| broken("a header that is no text"))
}

impl<S: Read> Answer<S> {
    /// Goes to the next chunk; 0 is the last one.
    fn next_chunk(&mut self) -> io::Result<u64> {
        let mut left = HEAD;
        let size = line(&mut self.from, &mut left)?;
        let digits = size.split(';').next().unwrap_or_default().trim();
        let size = u64::from_str_radix(digits, 16);
        let size = size.map_err(|_| broken("a chunk's size is no number"))?;
        if size == 0 {
            while !line(&mut self.from, &mut left)?.is_empty() {}
        }
        Ok(size)
    }
}

impl<S: Read> Read for Answer<S> {
    fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
        if let Frame::Chunk(0) = self.frame {
            self.frame = match self.next_chunk()? {
                0 => Frame::Ended,
                size => Frame::Chunk(size),
            };
        }
        let most = match self.frame {
            Frame::Length(0) | Frame::Ended => return Ok(0),
            Frame::Length(left) | Frame::Chunk(left) => left.min(to.len() as u64) as usize,
            Frame::Connection => to.len(),
        };
        let read = self.from.read(&mut to[..most])?;
        match &mut self.frame {
            Frame::Length(left) | Frame::Chunk(left) => {
                if read == 0 && most > 0 {
                    return Err(io::ErrorKind::UnexpectedEof.into());
                }
                *left -= read as u64;
                // A line end stands behind each chunk.
                if let Frame::Chunk(0) = self.frame
                    && !line(&mut self.from, &mut 2)?.is_empty()
                {
                    return Err(broken("a chunk that does not end where it should"));
                }
            }
            Frame::Connection | Frame::Ended => {}
        }
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a server says, whatever it is asked.
    struct Says<'a>(&'a [u8], Vec<u8>);

    impl Read for Says<'_> {
        fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
            let most = to.len().min(3);
            self.0.read(&mut to[..most])
        }
    }

    impl Write for Says<'_> {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.1.write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn body(says: &str) -> io::Result<(u16, String)> {
        let mut answer = get(Says(says.as_bytes(), Vec::new()), "/x")?;
        let mut body = String::new();
        answer.read_to_string(&mut body)?;
        Ok((answer.status, body))
    }

    #[test]
    fn bodies_end_where_they_say() {
        let ok = |text: &str| Ok::<_, ()>((200, text.to_owned()));
        let head = "HTTP/1.1 200 OK\r\nServer: x\r\n";
        let chunks = "Transfer-Encoding: chunked\r\n\r\n4\r\nfour\r\n3;x=y\r\nand\r\n0\r\n\r\nmore";
        assert_eq!(
            body(&format!("{head}{chunks}")).map_err(drop),
            ok("fourand")
        );
        let length = "content-length: 5\r\n\r\nfive!more";
        assert_eq!(body(&format!("{head}{length}")).map_err(drop), ok("five!"));
        assert_eq!(
            body(&format!("{head}\r\nto the end")).map_err(drop),
            ok("to the end")
        );
        let missing = "HTTP/1.1 404 Not Found\r\nContent-Length: 2\r\n\r\n{}";
        assert_eq!(body(missing).map_err(drop), Ok((404, "{}".to_owned())));
    }

    #[test]
    fn what_is_cut_or_no_http_is_an_error() {
        let endless = format!("HTTP/1.1 200 OK\r\nX: {}", "x".repeat(HEAD as usize));
        for says in [
            "",
            "hello",
            "HTTP/1.1 200 OK\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nshort",
            "HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nfo",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nfour",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nfourteen\r\n",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n-4\r\nfour",
            &endless,
        ] {
            assert!(body(says).is_err(), "{}", &says[..says.len().min(80)]);
        }
    }
}
