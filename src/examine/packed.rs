//! Which bytes are compressed, so that a search of them as they are says nothing of what is in
//! them. Told by their first bytes, never by a name.

/// What compressed files and archives begin with, from their formats' specifications.
const BEGINNINGS: &[&[u8]] = &[
    b"PK\x03\x04",             // zip: APPNOTE.TXT, 4.3.7
    b"\x1f\x8b\x08",           // gzip: RFC 1952, 2.3.1
    b"BZh",                    // bzip2
    b"\xfd7zXZ\0",             // xz: The .xz File Format, 2.1.1.1
    b"\x28\xb5\x2f\xfd",       // zstd: RFC 8878, 3.1.1
    b"7z\xbc\xaf\x27\x1c",     // 7z
    b"\x04\x22\x4d\x18",       // lz4 frames
    b"Rar!\x1a\x07",           // rar
    b"\x1f\x9d",               // compress
    b"\xed\xab\xee\xdb",       // rpm
    b"MSCF\0\0\0\0",           // cabinet
    b"!<arch>\ndebian-binary", // deb: its members are compressed
];

/// As many bytes as are needed to tell.
pub(crate) const HEAD: usize = 21;

/// Whether a blob that begins like this is compressed.
pub(crate) fn is_packed(head: &[u8]) -> bool {
    BEGINNINGS
        .iter()
        .any(|beginning| head.starts_with(beginning))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_head_is_long_enough_for_all() {
        assert_eq!(BEGINNINGS.iter().map(|b| b.len()).max(), Some(HEAD));
        assert!(is_packed(b"PK\x03\x04\x14\0") && !is_packed(b"PKCS") && !is_packed(b""));
    }
}
