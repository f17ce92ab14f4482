//! Archives, compressed files and other containers → their members, in memory: a file for each
//! format, which knows nothing of keys. Whoever unpacks (`examine`) implements [`Members`] and says
//! what is done with a member, how deep to go and how much memory there is.

mod ar;
mod asar;
mod brotli;
mod budget;
mod bzip2;
mod codec;
mod compress;
mod cpio;
mod gzip;
mod image;
mod inflate;
mod input;
mod journald;
mod lz4;
mod members;
mod part;
mod pdf;
mod png;
mod ppmd;
mod rpm;
mod sevenz;
mod sqlite;
mod tar;
#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
mod window;
mod xz;
mod zip;
mod zstd;

use std::io;

pub use self::budget::{Budget, Chain, Reservation};
pub use self::codec::TooMuchMemory;
pub use self::image::{Blob, Layout};
pub use self::input::{Input, ReadAt, Section};
pub use self::members::{Body, EachMember, Members, Step, Stop};
pub use self::window::Window;

/// How a format wants its bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// From the first to the last, once: any stream does.
    Sequential,
    /// At any place. A member that is a stream is held in memory for it, as far as the budget
    /// goes; beyond it the format is given the stream, and reads what it can.
    Random,
}

/// Why a container could not be read on. What was read before was handed out already.
#[derive(Debug, thiserror::Error)]
pub enum Damage {
    /// The bytes contradict the format.
    #[error("{0}")]
    Broken(String),
    /// The bytes under it could not be read, or could not be decompressed.
    #[error("{0}")]
    Input(#[from] io::Error),
    /// It has to be read at random, and was given as a stream, since it is too large to be held.
    #[error("it is too large to be held in memory")]
    TooLarge,
    /// [`Members`] want no more: a limit, or the user.
    #[error("stopped")]
    Stopped(#[from] Stop),
}

impl Damage {
    /// A contradiction, in words.
    pub fn broken(how: impl Into<String>) -> Self {
        Self::Broken(how.into())
    }
}

/// A kind of container.
pub trait Format: Sync {
    /// Its name, for locations and documentation: `zip`, `gzip`.
    fn name(&self) -> &'static str;

    /// How it wants its bytes.
    fn access(&self) -> Access {
        Access::Sequential
    }

    /// Whether a blob is of this format. `head` is its beginning: [`HEAD`] bytes, or all there are;
    /// `name` is its file's name, perhaps empty, and counts only where a format has no signature.
    fn recognises(&self, head: &[u8], name: &[u8]) -> bool;

    /// Whether a blob whose head nobody recognised is of this format, told by its last bytes.
    /// `tail` is at most [`TAIL`] of them, and `head` as above. Only of blobs that can be read at
    /// random.
    fn recognises_tail(&self, _head: &[u8], _tail: &[u8]) -> bool {
        false
    }

    /// Hands each member to `out`, and all other bytes that may hold text. Never panics and never
    /// loops, whatever the bytes: each step consumes input or ends, and sizes that the input states
    /// are believed only as far as bytes follow.
    ///
    /// # Errors
    /// The container can't be read on. All before it was handed out.
    fn unpack(&self, input: Input<'_>, out: &mut dyn Members) -> Result<(), Damage>;
}

/// As many of a blob's first bytes as are shown to [`Format::recognises`].
pub const HEAD: usize = 1024;

/// As many of a blob's last bytes as are shown to [`Format::recognises_tail`]: a zip's last record
/// with the longest comment.
pub const TAIL: usize = 22 + 65_535;

/// A byte that every tail holds which [`recognise_tail`] recognises: it stands in the signature of
/// a zip's last record (APPNOTE.TXT, 4.3.16). So what lacks it need not be asked about.
pub const IN_TAILS: u8 = 5;

/// All formats. The first that recognises a blob has it. A new one is a file and a line.
pub static FORMATS: &[&dyn Format] = &[
    &zip::Zip,
    &gzip::Gzip,
    &bzip2::Bzip2,
    &xz::Xz,
    &zstd::Zstd,
    &lz4::Lz4,
    &compress::Compress,
    &ar::Ar,
    &rpm::Rpm,
    &sevenz::SevenZ,
    &sqlite::Sqlite,
    &journald::Journald,
    &png::Png,
    &asar::Asar,
    &cpio::Cpio,
    &image::Image,
    &tar::Tar,
    &pdf::Pdf,
    &xz::LzmaAlone,
    &brotli::Brotli,
];

/// The format of a blob that begins with `head`, see [`Format::recognises`].
pub fn recognise(head: &[u8], name: &[u8]) -> Option<&'static dyn Format> {
    let known = FORMATS.iter().find(|format| format.recognises(head, name));
    known.copied()
}

/// The format of a blob that ends with `tail`, see [`Format::recognises_tail`].
pub fn recognise_tail(head: &[u8], tail: &[u8]) -> Option<&'static dyn Format> {
    // Most blobs lack it, and this is the quickest way to see that.
    memchr::memchr(IN_TAILS, tail)?;
    let known = FORMATS
        .iter()
        .find(|format| format.recognises_tail(head, tail));
    known.copied()
}

/// Whether a blob that begins with `head` is a program, behind which an archive may stand.
pub fn is_program(head: &[u8]) -> bool {
    const PROGRAMS: &[&[u8]] = &[
        b"MZ",               // Windows
        b"\x7fELF",          // Linux and most others
        b"\xcf\xfa\xed\xfe", // macOS, 64 bits
        b"\xce\xfa\xed\xfe", // macOS, 32 bits
        b"\xca\xfe\xba\xbe", // macOS, several processors
        b"#!",               // scripts
        b"Cr24",             // Chrome's extensions: a signature stands before the zip
    ];
    PROGRAMS.iter().any(|program| head.starts_with(program))
}
