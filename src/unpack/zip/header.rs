//! The records of a zip, as PKWARE's APPNOTE.TXT 6.3.10 describes them.

/// A local header without name and extra field (4.3.7).
pub(super) const LOCAL: usize = 30;

/// A member, as a local header or the directory tells of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) flags: u16,
    pub(super) method: u16,
    pub(super) sum: u32,
    pub(super) packed: u64,
    pub(super) size: u64,
    pub(super) name: Vec<u8>,
    /// Where its local header stands; of a local header, where its bytes begin behind it.
    pub(super) at: u64,
    /// Its comment and extra field.
    pub(super) comment: Vec<u8>,
    pub(super) extra: Vec<u8>,
}

impl Entry {
    /// Whether a password is needed (4.4.4).
    pub(super) fn is_encrypted(&self) -> bool {
        self.flags & 1 != 0
    }

    /// Whether sizes stand behind the bytes.
    pub(super) fn is_described_behind(&self) -> bool {
        self.flags & 8 != 0
    }

    pub(super) fn is_directory(&self) -> bool {
        self.name.ends_with(b"/") && self.size == 0
    }

    /// The name for people: CP437, unless it says, or shows, that it is UTF-8.
    pub(super) fn utf8_name(&self) -> Vec<u8> {
        match self.flags & 0x800 != 0 || std::str::from_utf8(&self.name).is_ok() {
            true => self.name.clone(),
            false => cp437(&self.name).into_bytes(),
        }
    }
}

pub(super) fn u16_at(bytes: &[u8], at: usize) -> u16 {
    let field = bytes.get(at..).and_then(|rest| rest.first_chunk());
    field.map_or(0, |field| u16::from_le_bytes(*field))
}

pub(super) fn u32_at(bytes: &[u8], at: usize) -> u32 {
    let field = bytes.get(at..).and_then(|rest| rest.first_chunk());
    field.map_or(0, |field| u32::from_le_bytes(*field))
}

pub(super) fn u64_at(bytes: &[u8], at: usize) -> u64 {
    let field = bytes.get(at..).and_then(|rest| rest.first_chunk());
    field.map_or(0, |field| u64::from_le_bytes(*field))
}

/// Reads a local header. `None` if it is none, is cut, or makes no sense: its signature may stand
/// in any bytes.
pub(super) fn local(bytes: &[u8]) -> Option<Entry> {
    if !bytes.starts_with(b"PK\x03\x04") {
        return None;
    }
    let name: usize = u16_at(bytes, 26).into();
    let extra: usize = u16_at(bytes, 28).into();
    let entry = Entry {
        flags: u16_at(bytes, 6),
        method: u16_at(bytes, 8),
        sum: u32_at(bytes, 14),
        packed: u32_at(bytes, 18).into(),
        size: u32_at(bytes, 22).into(),
        name: bytes.get(LOCAL..LOCAL + name)?.to_vec(),
        at: (LOCAL + name + extra) as u64,
        comment: Vec::new(),
        extra: bytes
            .get(LOCAL + name..LOCAL + name + extra)
            .unwrap_or_default()
            .to_vec(),
    };
    // Versions go up to 6.3, and no method has a number above 99.
    let sane = bytes[4] <= 63 && entry.method <= 99 && name > 0 && !entry.name.contains(&0);
    sane.then(|| wide(entry, false))
}

/// Reads an entry of the directory (4.3.12), and where the next one begins.
pub(super) fn central(bytes: &[u8]) -> Option<(Entry, usize)> {
    if !bytes.starts_with(b"PK\x01\x02") {
        return None;
    }
    let name: usize = u16_at(bytes, 28).into();
    let extra: usize = u16_at(bytes, 30).into();
    let comment: usize = u16_at(bytes, 32).into();
    let end = 46 + name + extra + comment;
    let texts = bytes.get(46..end)?;
    let at = u32_at(bytes, 42);
    let entry = Entry {
        flags: u16_at(bytes, 8),
        method: u16_at(bytes, 10),
        sum: u32_at(bytes, 16),
        packed: u32_at(bytes, 20).into(),
        size: u32_at(bytes, 24).into(),
        name: texts[..name].to_vec(),
        at: at.into(),
        extra: texts[name..name + extra].to_vec(),
        comment: texts[name + extra..].to_vec(),
    };
    Some((wide(entry, at == u32::MAX), end))
}

/// Takes what does not fit into four bytes from the field of zip64 (4.5.3): sizes, and where the
/// local header stands.
fn wide(mut entry: Entry, has_place: bool) -> Entry {
    const WIDE: u64 = u32::MAX as u64;
    let extra = std::mem::take(&mut entry.extra);
    let mut fields = &extra[..];
    while fields.len() >= 4 {
        let (id, size) = (u16_at(fields, 0), usize::from(u16_at(fields, 2)));
        let Some(field) = fields.get(4..4 + size) else {
            break;
        };
        fields = &fields[4 + size..];
        if id != 1 {
            continue;
        }
        let mut at = 0;
        let mut next = |wanted: bool, value: &mut u64| {
            if wanted && at + 8 <= field.len() {
                *value = u64_at(field, at);
                at += 8;
            }
        };
        next(entry.size == WIDE, &mut entry.size);
        next(entry.packed == WIDE, &mut entry.packed);
        next(has_place, &mut entry.at);
        break;
    }
    entry.extra = extra;
    entry
}

/// Code page 437: what DOS wrote names in.
fn cp437(name: &[u8]) -> String {
    const UPPER: &str = "ÇüéâäàåçêëèïîìÄÅÉæÆôöòûùÿÖÜ¢£¥₧ƒáíóúñÑªº¿⌐¬½¼¡«»░▒▓│┤╡╢╖╕╣║╗╝╜╛┐└┴┬├─┼╞╟╚╔╩╦╠═╬╧╨╤╥╙╘╒╓╫╪┘┌█▄▌▐▀αßΓπΣσµτΦΘΩδ∞φε∩≡±≥≤⌠⌡÷≈°∙·√ⁿ²■\u{a0}";
    let upper: Vec<char> = UPPER.chars().collect();
    let char_of = |byte: &u8| match byte {
        0..128 => char::from(*byte),
        _ => upper[usize::from(byte - 128)],
    };
    name.iter().map(char_of).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_of_a_name_has_a_character() {
        let all: Vec<u8> = (0..=255).collect();
        let text = cp437(&all);
        assert_eq!(text.chars().count(), 256);
        assert!(text.contains("é") && text.ends_with('\u{a0}'));
    }
}
