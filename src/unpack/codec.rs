//! What compressed files have in common: streams that follow each other are one content, and what
//! follows the last one is handed out as it is.

use std::io::{self, Read};

use super::{Body, Damage, Input, Members, Step, Stop, Window};

/// A decompressor of one stream or frame.
pub(super) trait Decoder<'a>: Read + Sized {
    /// Begins at a stream.
    fn open(from: Window<'a>) -> io::Result<Self>;

    /// Behind its end.
    fn close(self) -> Window<'a>;

    /// Whether another stream follows. Padding and the like are consumed.
    fn follows(from: &mut Window<'a>) -> io::Result<bool>;
}

/// Something was refused for the memory that it takes. The text of an [`io::Error`].
#[derive(Debug, thiserror::Error)]
#[error("it takes more memory than there may be")]
pub struct TooMuchMemory;

/// Hands the content of all streams out, and what follows them.
pub(super) fn unpack<'a, D: Decoder<'a>>(
    name: &'static str,
    from: Window<'a>,
    out: &mut dyn Members,
) -> Result<(), Damage> {
    let mut content = Content::<D>::Between(from, true);
    let done = out.member(Step::content(name), Body::Stream(&mut content, None));
    content.behind(out, done)
}

/// As much is decompressed at once.
const MOST_LOST: usize = 16 << 10;

/// The content of streams that follow each other.
enum Content<'a, D> {
    /// Before a stream; whether it is the first.
    Between(Window<'a>, bool),
    Inside(D, std::marker::PhantomData<&'a ()>),
    Done(Window<'a>),
    /// The decompressor could not begin, and took what it read along.
    Lost,
}

impl<'a, D: Decoder<'a>> Content<'a, D> {
    fn behind(self, out: &mut dyn Members, done: Result<(), Stop>) -> Result<(), Damage> {
        done?;
        let mut from = match self {
            Self::Between(from, _) | Self::Done(from) => from,
            Self::Inside(decoder, _) => decoder.close(),
            Self::Lost => return Ok(()),
        };
        out.raw(from.at(), &mut from)?;
        Ok(())
    }
}

impl<'a, D: Decoder<'a>> Read for Content<'a, D> {
    fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
        if to.is_empty() {
            return Ok(0);
        }
        // What a decompressor made before it met an error is lost: let it be little.
        let most = to.len().min(MOST_LOST);
        let to = &mut to[..most];
        loop {
            match std::mem::replace(self, Self::Lost) {
                Self::Between(mut from, first) => {
                    *self = match first || D::follows(&mut from)? {
                        true => Self::Inside(D::open(from)?, std::marker::PhantomData),
                        false => Self::Done(from),
                    };
                }
                Self::Inside(mut decoder, phantom) => match decoder.read(to) {
                    Ok(0) => *self = Self::Between(decoder.close(), false),
                    result => {
                        *self = Self::Inside(decoder, phantom);
                        return result;
                    }
                },
                Self::Done(from) => {
                    *self = Self::Done(from);
                    return Ok(0);
                }
                Self::Lost => return Ok(0),
            }
        }
    }
}

/// An input as a window.
pub(super) fn window(input: Input<'_>) -> Window<'_> {
    Window::new(input.into_reader())
}

/// An error of damaged bytes.
pub(super) fn broken(how: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, how)
}
