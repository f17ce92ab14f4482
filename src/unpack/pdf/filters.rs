//! The filters of PDF's streams that texts go through.

use std::io::{self, BufRead, BufReader, Read};

use flate2::read::ZlibDecoder;
use weezl::LzwStatus;

use super::dictionary::Filter;
use super::predictor;
use crate::unpack::Section;
use crate::unpack::codec::broken;
use crate::unpack::part::Between;

/// What there is to be done about a stream.
pub(super) enum Opened<'a> {
    /// Nothing: it lies there as it is, or as an image.
    Plain,
    /// What it holds, and what of it could not be undone.
    Decoded(Box<dyn Read + 'a>, Option<String>),
    /// Nobody here knows this filter.
    Unknown(String),
}

/// More filters on each other are somebody's idea of a joke.
const MOST: usize = 8;

/// Undoes the filters of a stream.
pub(super) fn open<'a>(stream: Section<'a>, filters: &[Filter<'_>]) -> Opened<'a> {
    let packed = stream.left();
    let mut reader: Box<dyn Read + 'a> = Box::new(stream);
    let mut is_plain = true;
    let mut left = None;
    if filters.len() > MOST {
        return Opened::Unknown(format!("{} of them", filters.len()));
    }
    for Filter { name, parameters } in filters {
        if !is_plain {
            reader = Box::new(Between::new(reader, packed));
        }
        let mut predicted = |reader| {
            predictor::undo(reader, *parameters).unwrap_or_else(|(reader, why)| {
                left = Some(format!("{} with {why}", String::from_utf8_lossy(name)));
                reader
            })
        };
        reader = match &name[..] {
            b"FlateDecode" | b"Fl" => predicted(Box::new(ZlibDecoder::new(reader))),
            b"LZWDecode" | b"LZW" => {
                let early = parameters.is_none_or(|given| given.early_change);
                predicted(Box::new(Lzw::new(reader, early)))
            }
            b"ASCIIHexDecode" | b"AHx" => Box::new(Hexadecimal(BufReader::new(reader))),
            b"ASCII85Decode" | b"A85" => Box::new(Base85::new(reader)),
            b"RunLengthDecode" | b"RL" => Box::new(RunLength::new(reader)),
            // Images. Texts in them (comments, metadata) are found if nothing lies around them.
            b"DCTDecode" | b"DCT" | b"JPXDecode" | b"CCITTFaxDecode" | b"CCF" | b"JBIG2Decode" => {
                break;
            }
            other => return Opened::Unknown(String::from_utf8_lossy(other).into_owned()),
        };
        is_plain = false;
    }
    match is_plain {
        true => Opened::Plain,
        false => Opened::Decoded(reader, left),
    }
}

/// The next byte that is no blank.
fn next_character(from: &mut impl BufRead) -> io::Result<Option<u8>> {
    loop {
        let Some(&byte) = from.fill_buf()?.first() else {
            return Ok(None);
        };
        from.consume(1);
        match byte {
            0 | b'\t' | b'\n' | b'\x0c' | b'\r' | b' ' => {}
            other => return Ok(Some(other)),
        }
    }
}

/// Pairs of digits; a last one without a partner counts as if a zero followed.
struct Hexadecimal<R>(BufReader<R>);

impl<R: Read> Read for Hexadecimal<R> {
    fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
        let mut digit = || match next_character(&mut self.0)? {
            None | Some(b'>') => Ok(None),
            Some(character) => match char::from(character).to_digit(16) {
                Some(digit) => Ok(Some(digit as u8)),
                None => Err(broken("what should be a hexadecimal digit is none")),
            },
        };
        for (n, byte) in to.iter_mut().enumerate() {
            let Some(high) = digit()? else {
                return Ok(n);
            };
            *byte = high << 4 | digit()?.unwrap_or(0);
        }
        Ok(to.len())
    }
}

/// Groups of five characters for four bytes.
struct Base85<R> {
    from: BufReader<R>,
    group: [u8; 4],
    /// How many of the group's last bytes were not handed out.
    left: usize,
    /// Where the group ends.
    end: usize,
    is_first: bool,
    is_done: bool,
}

impl<R: Read> Base85<R> {
    fn new(from: R) -> Self {
        Self {
            from: BufReader::new(from),
            group: [0; 4],
            left: 0,
            end: 0,
            is_first: true,
            is_done: false,
        }
    }

    fn next_group(&mut self) -> io::Result<()> {
        let mut digits = [84; 5];
        let mut count = 0;
        while count < digits.len() {
            match next_character(&mut self.from)? {
                // Some writers put the start of the notation, `<~`, before it.
                Some(b'~') if self.is_first && digits[..count] == [b'<' - b'!'] => {
                    (digits, count) = ([84; 5], 0);
                }
                Some(b'~') | None => {
                    self.is_done = true;
                    break;
                }
                Some(b'z') if count == 0 => {
                    digits = [0; 5];
                    count = 5;
                }
                Some(character @ b'!'..=b'u') => {
                    digits[count] = character - b'!';
                    count += 1;
                }
                Some(_) => return Err(broken("a character that base 85 does not have")),
            }
        }
        let value = digits
            .iter()
            .fold(0u64, |all, digit| all * 85 + u64::from(*digit));
        self.group = (value as u32).to_be_bytes();
        self.end = count.saturating_sub(1);
        self.left = self.end;
        self.is_first = false;
        Ok(())
    }
}

impl<R: Read> Read for Base85<R> {
    fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
        for (n, byte) in to.iter_mut().enumerate() {
            if self.left == 0 {
                if !self.is_done {
                    self.next_group()?;
                }
                if self.left == 0 {
                    return Ok(n);
                }
            }
            *byte = self.group[self.end - self.left];
            self.left -= 1;
        }
        Ok(to.len())
    }
}

/// Runs of bytes: as they are, or one byte many times.
struct RunLength<R> {
    from: BufReader<R>,
    left: usize,
    repeated: Option<u8>,
}

impl<R: Read> RunLength<R> {
    fn new(from: R) -> Self {
        Self {
            from: BufReader::new(from),
            left: 0,
            repeated: None,
        }
    }

    fn byte(&mut self) -> io::Result<Option<u8>> {
        let byte = self.from.fill_buf()?.first().copied();
        self.from.consume(usize::from(byte.is_some()));
        Ok(byte)
    }
}

impl<R: Read> Read for RunLength<R> {
    fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
        for (n, place) in to.iter_mut().enumerate() {
            if self.left == 0 {
                match self.byte()? {
                    None | Some(128) => return Ok(n),
                    Some(length @ 0..=127) => {
                        (self.left, self.repeated) = (usize::from(length) + 1, None);
                    }
                    Some(length) => {
                        let Some(byte) = self.byte()? else {
                            return Ok(n);
                        };
                        (self.left, self.repeated) = (257 - usize::from(length), Some(byte));
                    }
                }
            }
            let byte = match self.repeated {
                Some(byte) => byte,
                None => match self.byte()? {
                    Some(byte) => byte,
                    None => return Ok(n),
                },
            };
            *place = byte;
            self.left -= 1;
        }
        Ok(to.len())
    }
}

/// LZW with codes of 9 to 12 bits, the most significant bit first.
struct Lzw<R> {
    from: BufReader<R>,
    decoder: weezl::decode::Decoder,
    failed: bool,
}

impl<R: Read> Lzw<R> {
    fn new(from: R, early_change: bool) -> Self {
        use weezl::BitOrder::Msb;
        use weezl::decode::Decoder;
        Self {
            from: BufReader::new(from),
            decoder: match early_change {
                true => Decoder::with_tiff_size_switch(Msb, 8),
                false => Decoder::new(Msb, 8),
            },
            failed: false,
        }
    }
}

impl<R: Read> Read for Lzw<R> {
    fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
        while !to.is_empty() {
            if self.failed {
                return Err(broken("an LZW code that stands for nothing"));
            }
            let input = self.from.fill_buf()?;
            let at_end = input.is_empty();
            let result = self.decoder.decode_bytes(input, to);
            self.from.consume(result.consumed_in);
            self.failed = match result.status {
                Ok(LzwStatus::Done) => return Ok(result.consumed_out),
                Ok(_) => false,
                Err(_) => true,
            };
            // The mark at its end may be missing.
            let stands = at_end || result.consumed_in == 0 && !self.failed;
            if result.consumed_out > 0 || stands {
                return Ok(result.consumed_out);
            }
        }
        Ok(0)
    }
}
