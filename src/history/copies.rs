//! The codes of copies in deltas (gitformat-pack(5), "Deltified representation"): which of the bytes of
//! an offset and a size follow.

/// Which bytes of an offset and a size follow the code of a copy: each of its bits says so of one.
#[derive(Clone, Copy)]
pub(super) struct Shape {
    /// What of them is the offset, if none in between is left out, and how far behind it the size is.
    offset: u32,
    shift: u8,
    /// And what of the rest is the size.
    size: u32,
    /// How many there are.
    pub(super) stated: u8,
    /// Some in between are left out, since they are zero.
    sparse: bool,
}

/// A mask of so many bytes.
const fn lowest(bytes: u32) -> u32 {
    ((1u64 << (8 * bytes)) - 1) as u32
}

/// By the lowest seven bits of a code.
pub(super) const SHAPES: [Shape; 128] = {
    let none = Shape {
        offset: 0,
        shift: 0,
        size: 0,
        stated: 0,
        sparse: false,
    };
    let mut shapes = [none; 128];
    let mut code = 0u32;
    while code < 128 {
        let (offset, size) = (code & 0x0f, code >> 4);
        shapes[code as usize] = Shape {
            offset: lowest(offset.count_ones()),
            shift: 8 * offset.count_ones() as u8,
            size: lowest(size.count_ones()),
            stated: code.count_ones() as u8,
            sparse: offset & (offset + 1) != 0 || size & (size + 1) != 0,
        };
        code += 1;
    }
    shapes
};

impl Shape {
    /// A copy's offset and size, as the bytes behind its code state them.
    #[inline]
    pub(super) fn copy(&self, code: u8, stated: u64) -> (u64, u64) {
        // Few leave some in between out: what nearly all have in common can be foreseen, and costs
        // nothing.
        let (from, size) = if self.sparse {
            sparse(code, stated)
        } else {
            let size = stated >> self.shift;
            (stated & u64::from(self.offset), size & u64::from(self.size))
        };
        (from, if size == 0 { 0x1_0000 } else { size })
    }
}

/// The same, byte by byte.
#[cold]
fn sparse(code: u8, mut stated: u64) -> (u64, u64) {
    let mut both = 0;
    for byte in (0..7).filter(|byte| code >> byte & 1 != 0) {
        both |= (stated & 0xff) << (8 * byte);
        stated >>= 8;
    }
    (both & 0xffff_ffff, both >> 32)
}
