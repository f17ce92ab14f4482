//! PPMd: a model of what came before says how likely each next byte is. 7z has its variant H, zip
//! its variant I.
//!
//! A model takes all the memory that it was packed with, however little it packs: with less, it
//! would come to its end earlier than the packer's did, and say something else.
//!
//! Sources: 7-Zip's `CPP/7zip/Compress/PpmdDecoder.cpp` for 7z's properties, APPNOTE.TXT 6.3.10 (5.10)
//! for zip's.

use std::io::{self, Read};

use ppmd_rust::{Error, Ppmd7Decoder, Ppmd8Decoder, RestoreMethod};

use super::codec::{TooMuchMemory, broken};

/// With what a model has to be made.
#[derive(Clone, Copy)]
pub(super) struct Parameters {
    order: u32,
    memory: u32,
    variant: Variant,
}

#[derive(Clone, Copy)]
enum Variant {
    H,
    I(RestoreMethod),
}

impl Parameters {
    /// Reads a 7z coder's properties: the order, and the memory in bytes.
    pub(super) fn of_7z(properties: &[u8]) -> Option<Self> {
        let [order, memory @ ..] = properties else {
            return None;
        };
        Some(Self {
            order: u32::from(*order),
            memory: u32::from_le_bytes(memory.try_into().ok()?),
            variant: Variant::H,
        })
    }

    /// Reads the two bytes before a zip's member: the order less one, the memory in MiB less one, and
    /// what is done when it is full. The third way, to learn no more, is one that nobody packs with.
    pub(super) fn of_zip(bytes: [u8; 2]) -> Option<Self> {
        let bits = u32::from(u16::from_le_bytes(bytes));
        let restore = match bits >> 12 {
            0 => RestoreMethod::Restart,
            1 => RestoreMethod::CutOff,
            _ => return None,
        };
        Some(Self {
            order: (bits & 0xf) + 1,
            memory: ((bits >> 4 & 0xff) + 1) << 20,
            variant: Variant::I(restore),
        })
    }

    /// How much memory the model takes, in bytes.
    pub(super) fn memory(self) -> u64 {
        // Its tables of probabilities take some more.
        u64::from(self.memory) + (1 << 16)
    }
}

/// What PPMd packed. All that came out before an error is handed on before the error is.
pub(super) struct Ppmd<R: Read> {
    model: Model<R>,
    done: bool,
    failed: Option<io::Error>,
}

enum Model<R: Read> {
    H(Box<Ppmd7Decoder<Watched<R>>>),
    I(Box<Ppmd8Decoder<Watched<R>>>),
}

impl<R: Read> Ppmd<R> {
    /// Begins at its first byte. `from` is read byte by byte, and no further than necessary.
    ///
    /// # Errors
    /// The parameters or the first bytes make no sense, or there is no such memory.
    pub(super) fn open(parameters: Parameters, from: R) -> io::Result<Self> {
        let Parameters {
            order,
            memory,
            variant,
        } = parameters;
        let from = Watched { from, ended: false };
        let model = match variant {
            Variant::H => {
                Ppmd7Decoder::new(from, order, memory).map(|model| Model::H(Box::new(model)))
            }
            Variant::I(restore) => Ppmd8Decoder::new(from, order, memory, restore)
                .map(|model| Model::I(Box::new(model))),
        };
        let model = model.map_err(|error| match error {
            Error::IoError(error) => error,
            Error::MemoryAllocation => io::Error::other(TooMuchMemory),
            Error::InvalidParameter => broken("its PPMd parameters make no sense"),
            Error::RangeDecoderInitialization => broken("its PPMd data makes no sense"),
        })?;
        Ok(Self {
            model,
            done: false,
            failed: None,
        })
    }
}

impl<R: Read> Read for Ppmd<R> {
    fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
        let mut made = 0;
        while made < to.len() && !self.done {
            // What the crate made of more than one byte is lost if the last one is wrong.
            let place = &mut to[made..=made];
            let (read, ended) = match &mut self.model {
                Model::H(model) => (model.read(place), model.get_ref().ended),
                Model::I(model) => (model.read(place), model.get_ref().ended),
            };
            self.done = true;
            match read {
                // The crate takes the end of what is packed for the end of the content.
                Ok(0) if ended => self.failed = Some(io::ErrorKind::UnexpectedEof.into()),
                Ok(0) => {}
                Ok(_) => {
                    made += 1;
                    self.done = false;
                }
                Err(error) => self.failed = Some(error),
            }
        }
        match self.failed.take_if(|_| made == 0 && !to.is_empty()) {
            Some(error) => Err(error),
            None => Ok(made),
        }
    }
}

/// A stream that notes that more was wanted than it has.
struct Watched<R> {
    from: R,
    ended: bool,
}

impl<R: Read> Read for Watched<R> {
    fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
        let read = self.from.read(to)?;
        self.ended |= read == 0 && !to.is_empty();
        Ok(read)
    }
}
