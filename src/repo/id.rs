//! Object ids of both lengths.

use std::fmt;
use std::hash::{Hash, Hasher};

use sha2::{Digest, Sha256};

use super::ObjectKind;

/// Which hash names a repository's objects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ObjectFormat {
    /// 20 bytes.
    Sha1,
    /// 32 bytes.
    Sha256,
}

impl ObjectFormat {
    /// Bytes in an id.
    pub fn bytes(self) -> usize {
        match self {
            Self::Sha1 => 20,
            Self::Sha256 => 32,
        }
    }

    /// The tree with nothing in it, which git knows without having it stored.
    pub(super) fn empty_tree(self) -> ObjectId {
        let hex: &[u8] = match self {
            Self::Sha1 => b"4b825dc642cb6eb9a060e54bf8d69288fbee4904",
            Self::Sha256 => b"6ef19b41225c5369f1c104d45d8d85efa9b057b53b14b4b9b939dd74decc5321",
        };
        ObjectId::from_hex(hex).expect("both constants are hexadecimal and of a known length")
    }
}

/// Names an object: a SHA-1 or a SHA-256, shown in hexadecimal.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct ObjectId {
    bytes: [u8; 32],
    length: u8,
}

impl ObjectId {
    /// From 20 or 32 bytes; `None` for any other number of them.
    pub fn from_bytes(raw: &[u8]) -> Option<Self> {
        if raw.len() != 20 && raw.len() != 32 {
            return None;
        }
        let mut bytes = [0; 32];
        bytes[..raw.len()].copy_from_slice(raw);
        Some(Self {
            bytes,
            length: raw.len() as u8,
        })
    }

    /// From 40 or 64 hexadecimal digits.
    pub fn from_hex(hex: &[u8]) -> Option<Self> {
        if hex.len() != 40 && hex.len() != 64 {
            return None;
        }
        let mut bytes = [0; 32];
        for (byte, pair) in bytes.iter_mut().zip(hex.chunks_exact(2)) {
            let high = (pair[0] as char).to_digit(16)?;
            let low = (pair[1] as char).to_digit(16)?;
            *byte = (high * 16 + low) as u8;
        }
        Some(Self {
            bytes,
            length: (hex.len() / 2) as u8,
        })
    }

    /// The id of an object of `length` bytes (20 or 32) of id: the hash of what it is, how long, and
    /// its content (git-hash-object(1)). `None` for another length.
    pub fn of(kind: ObjectKind, content: &[u8], length: usize) -> Option<Self> {
        match length {
            20 => {
                let kind = git2::ObjectType::from_str(kind.as_str())?;
                let id = git2::Oid::hash_object(kind, content).ok()?;
                Self::from_bytes(id.as_bytes())
            }
            32 => {
                let mut hash = Sha256::new();
                hash.update(format!("{} {}\0", kind.as_str(), content.len()));
                hash.update(content);
                Self::from_bytes(&hash.finalize())
            }
            _ => None,
        }
    }

    /// The bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[..usize::from(self.length)]
    }

    /// Whether this is git's way to write "no object".
    pub fn is_zero(&self) -> bool {
        self.bytes == [0; 32]
    }
}

/// Eight bytes of it are as good as all: they are a hash themselves.
impl Hash for ObjectId {
    fn hash<H: Hasher>(&self, state: &mut H) {
        let [a, b, c, d, e, f, g, h, ..] = self.bytes;
        state.write_u64(u64::from_ne_bytes([a, b, c, d, e, f, g, h]));
    }
}

impl fmt::Display for ObjectId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.as_bytes()
            .iter()
            .try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for ObjectId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_survive_hexadecimal() {
        for length in [20, 32] {
            let raw: Vec<u8> = (0..length).map(|n| n * 7).collect();
            let id = ObjectId::from_bytes(&raw).expect("a known length");
            assert_eq!(ObjectId::from_hex(id.to_string().as_bytes()), Some(id));
            assert_eq!(id.as_bytes(), raw);
        }
        for format in [ObjectFormat::Sha1, ObjectFormat::Sha256] {
            let empty = ObjectId::of(ObjectKind::Tree, b"", format.bytes());
            assert_eq!(empty, Some(format.empty_tree()));
        }
        assert_eq!(ObjectId::from_bytes(&[0; 21]), None);
        assert_eq!(ObjectId::from_hex(&[b'g'; 40]), None);
        assert!(ObjectId::from_hex(&[b'0'; 40]).is_some_and(|id| id.is_zero()));
    }
}
