//! Checksums that stand before what they vouch for: whoever changes a byte in such an archive and not
//! its sum sees no more of its reader than "the sum is wrong". So mutants get theirs mended. Sums
//! behind what they are of hide nothing, and no reader looks at those of 7z, png and lz4.

use libdeflater::crc32;

/// Makes the sums in an archive right, as far as it can be followed.
pub(crate) fn mend(bytes: &mut [u8]) {
    match bytes {
        [0xfd, b'7', b'z', b'X', b'Z', 0, ..] => xz(bytes),
        _ => tar(bytes),
    }
}

/// The headers of an xz's stream and of its first block (The .xz File Format, 2.1.1 and 3.1).
fn xz(bytes: &mut [u8]) {
    put_crc(bytes, 6, 8);
    if let Some(size @ 1..) = bytes.get(12) {
        let end = 12 + usize::from(*size) * 4;
        put_crc(bytes, 12, end);
    }
}

/// Behind a part of `bytes`, its sum.
fn put_crc(bytes: &mut [u8], from: usize, to: usize) {
    if to + 4 <= bytes.len() {
        let sum = crc32(&bytes[from..to]);
        bytes[to..to + 4].copy_from_slice(&sum.to_le_bytes());
    }
}

/// Each header of a tar, from one to the next.
fn tar(bytes: &mut [u8]) {
    let mut at = 0;
    while let Some(header) = bytes.get_mut(at..at + 512) {
        // Others begin in ways that only a tar's name would by chance.
        if header[257..262] != *b"ustar" && at == 0 {
            return;
        }
        header[148..156].fill(b' ');
        let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
        if sum == 8 * u32::from(b' ') {
            header[148..156].fill(0);
            at += 512;
            continue;
        }
        header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        let digits = header[124..136].iter().filter(|byte| byte.is_ascii_digit());
        let size = digits.fold(0usize, |all, digit| all << 3 | usize::from(digit & 7));
        at = at.saturating_add(512 + size.min(bytes.len()).next_multiple_of(512));
    }
}
