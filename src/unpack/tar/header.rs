//! The header block of a tar's entry.

/// Everything in a tar is a multiple of it.
pub(in crate::unpack) const BLOCK: usize = 512;

/// A header whose checksum is right.
pub(in crate::unpack) struct Header<'a>(&'a [u8; BLOCK]);

impl<'a> Header<'a> {
    /// `None` if the checksum is wrong. Some programs added signed bytes.
    pub(in crate::unpack) fn parse(block: &'a [u8; BLOCK]) -> Option<Self> {
        let stated = octal(&block[148..156])?;
        let (mut sum, mut signed) = (0u32, 0i32);
        for (at, byte) in block.iter().enumerate() {
            let byte = if (148..156).contains(&at) {
                b' '
            } else {
                *byte
            };
            sum += u32::from(byte);
            signed += i32::from(byte as i8);
        }
        let right = stated == u64::from(sum) || i64::try_from(stated) == Ok(signed.into());
        (right && sum != 8 * u32::from(b' ')).then_some(Self(block))
    }

    /// Whether it says that it is one (POSIX, GNU).
    pub(in crate::unpack) fn has_magic(&self) -> bool {
        &self.0[257..262] == b"ustar"
    }

    /// Whether one of version 7 could look like this.
    pub(in crate::unpack) fn is_plausible(&self) -> bool {
        self.0[0] != 0 && self.size().is_some() && matches!(self.kind(), 0 | b'0'..=b'7')
    }

    pub(in crate::unpack) fn kind(&self) -> u8 {
        self.0[156]
    }

    /// How many bytes follow. `None` if that is no number, or a negative one.
    pub(in crate::unpack) fn size(&self) -> Option<u64> {
        let field = &self.0[124..136];
        if field[0] & 0x80 == 0 {
            return octal(field);
        }
        // GNU: binary, with the first bit set; a second one makes it negative.
        if field[0] != 0x80 || field[1..4] != [0; 3] {
            return None;
        }
        let size = field[4..].iter().fold(0, |all, b| all << 8 | u64::from(*b));
        i64::try_from(size).is_ok().then_some(size)
    }

    pub(in crate::unpack) fn path(&self) -> Vec<u8> {
        let name = super::until_nul(&self.0[..100]);
        // GNU keeps times where POSIX keeps the path's first part.
        let prefix = match &self.0[257..263] == b"ustar\0" {
            true => super::until_nul(&self.0[345..500]),
            false => b"",
        };
        match prefix {
            b"" => name.to_vec(),
            prefix => [prefix, b"/", name].concat(),
        }
    }

    pub(in crate::unpack) fn link(&self) -> &'a [u8] {
        super::until_nul(&self.0[157..257])
    }

    /// Whether blocks with more of a sparse file's map follow.
    pub(in crate::unpack) fn is_extended(&self) -> bool {
        self.0[482] != 0
    }
}

/// Digits between blanks and NULs.
fn octal(field: &[u8]) -> Option<u64> {
    let is_blank = |byte: &u8| matches!(byte, b' ' | 0);
    let from = field.iter().position(|byte| !is_blank(byte))?;
    let digits = &field[from..];
    let digits = &digits[..digits.iter().position(is_blank).unwrap_or(digits.len())];
    digits.iter().try_fold(0u64, |all, digit| match digit {
        b'0'..=b'7' => all.checked_mul(8)?.checked_add(u64::from(digit - b'0')),
        _ => None,
    })
}
