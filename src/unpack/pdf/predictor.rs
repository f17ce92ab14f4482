//! Rows that hold the difference to what stands before and above: of images, of tables and streams of
//! objects, too.
//!
//! Sources: ISO 32000-1, 7.4.4.4; PNG (second edition), chapter 9; TIFF 6.0, section 14.

use std::io::{self, Read};

use super::dictionary::Parameters;

/// A longer row is no picture's.
const LONGEST_ROW: u64 = 1 << 20;

#[derive(Clone, Copy)]
enum Kind {
    /// The difference to the pixel before, colour by colour.
    Tiff { bits: usize, colors: usize },
    /// Each row begins with a byte that says which difference it is. A pixel is so many bytes long.
    Png { pixel: usize },
}

/// What the rows of a stream were.
pub(super) struct Predicted<R> {
    from: R,
    kind: Kind,
    row: Vec<u8>,
    above: Vec<u8>,
    /// How much of the row was handed out, and how much of it there is.
    at: usize,
    end: usize,
    failed: Option<io::Error>,
}

/// Undoes a stream's predictor. Gives the stream back with the reason if that can't be done.
pub(super) fn undo<'a>(
    from: Box<dyn Read + 'a>,
    parameters: Option<Parameters>,
) -> Result<Box<dyn Read + 'a>, (Box<dyn Read + 'a>, String)> {
    let Some(parameters) = parameters else {
        let why = "parameters that another object holds";
        return Err((from, why.to_owned()));
    };
    let Parameters {
        predictor,
        colors,
        bits,
        columns,
        ..
    } = parameters;
    let pixel = colors.checked_mul(bits);
    let row = pixel.and_then(|pixel| pixel.checked_mul(columns));
    let row = row.map(|row| row.div_ceil(8));
    let row =
        row.filter(|row| matches!(bits, 1 | 2 | 4 | 8 | 16) && (1..=LONGEST_ROW).contains(row));
    let kind = match (predictor, row) {
        (0 | 1, _) => return Ok(from),
        (2, Some(_)) => Kind::Tiff {
            bits: bits as usize,
            colors: colors as usize,
        },
        (10..=15, Some(_)) => Kind::Png {
            pixel: (colors * bits).div_ceil(8) as usize,
        },
        _ => {
            let why = format!("predictor {predictor}, {columns} times {colors} times {bits} bits");
            return Err((from, why));
        }
    };
    let row = row.unwrap_or_default() as usize;
    Ok(Box::new(Predicted {
        from,
        kind,
        row: vec![0; row],
        above: vec![0; row],
        at: 0,
        end: 0,
        failed: None,
    }))
}

impl<R: Read> Predicted<R> {
    /// Makes the next row, or as much of it as there is.
    fn next_row(&mut self) {
        std::mem::swap(&mut self.row, &mut self.above);
        (self.at, self.end) = (0, 0);
        let mut tag = [0];
        if matches!(self.kind, Kind::Png { .. }) && self.fill(&mut tag) == 0 {
            return;
        }
        let mut row = std::mem::take(&mut self.row);
        self.end = self.fill(&mut row);
        let (known, above) = (&mut row[..self.end], &self.above[..]);
        match self.kind {
            Kind::Tiff { bits, colors } => tiff(known, bits, colors),
            Kind::Png { pixel } => png(known, above, pixel, tag[0]),
        }
        self.row = row;
    }

    /// Fills as much as there is.
    fn fill(&mut self, to: &mut [u8]) -> usize {
        let mut filled = 0;
        while filled < to.len() && self.failed.is_none() {
            match self.from.read(&mut to[filled..]) {
                Ok(0) => break,
                Ok(read) => filled += read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => self.failed = Some(error),
            }
        }
        filled
    }
}

impl<R: Read> Read for Predicted<R> {
    fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
        if self.at == self.end && !to.is_empty() {
            if let Some(error) = self.failed.take() {
                return Err(error);
            }
            self.next_row();
            if let (true, Some(error)) = (self.end == 0, self.failed.take()) {
                return Err(error);
            }
        }
        let read = (&self.row[self.at..self.end]).read(to)?;
        self.at += read;
        Ok(read)
    }
}

/// Undoes a row of differences to the pixel before; `bits` for each of its `colors`.
fn tiff(row: &mut [u8], bits: usize, colors: usize) {
    match bits {
        8 => {
            for at in colors..row.len() {
                row[at] = row[at].wrapping_add(row[at - colors]);
            }
        }
        16 => {
            for at in (2 * colors..row.len().saturating_sub(1)).step_by(2) {
                let number = |at: usize| u16::from_be_bytes([row[at], row[at + 1]]);
                let sum = number(at).wrapping_add(number(at - 2 * colors));
                row[at..at + 2].copy_from_slice(&sum.to_be_bytes());
            }
        }
        _ => {
            let mask = (1 << bits) - 1;
            let place = |n: usize| (n * bits / 8, 8 - bits - n * bits % 8);
            for n in colors..row.len() * 8 / bits {
                let (before, shift) = place(n - colors);
                let before = row[before] >> shift & mask;
                let (at, shift) = place(n);
                let sum = (row[at] >> shift & mask).wrapping_add(before) & mask;
                row[at] = row[at] & !(mask << shift) | sum << shift;
            }
        }
    }
}

/// Undoes a row of differences of the kind `tag`. One that there is none of changes nothing.
fn png(row: &mut [u8], above: &[u8], pixel: usize, tag: u8) {
    for at in 0..row.len() {
        let left = at.checked_sub(pixel);
        let corner = left.map_or(0, |left| above[left]);
        let left = left.map_or(0, |left| row[left]);
        let above = above[at];
        let expected = match tag {
            1 => left,
            2 => above,
            3 => ((u16::from(left) + u16::from(above)) / 2) as u8,
            4 => paeth(left, above, corner),
            _ => 0,
        };
        row[at] = row[at].wrapping_add(expected);
    }
}

/// Whichever of the three is next to left and above less the corner.
fn paeth(left: u8, above: u8, corner: u8) -> u8 {
    let [a, b, c] = [left, above, corner].map(i16::from);
    let distance = |x: i16| (a + b - c - x).abs();
    match (distance(a), distance(b), distance(c)) {
        (a, b, c) if a <= b && a <= c => left,
        (_, b, c) if b <= c => above,
        _ => corner,
    }
}
