//! Formats that need no reader: a search of the file as it is finds all that is in them. Each is built
//! here the way its programs write it.
#![allow(clippy::unwrap_used)]

use std::path::Path;

use skewer::examine::{Examiner, Unpacking};
use skewer::matcher::Matcher;
use skewer::rules::{Rules, Template};

fn key(seed: u64) -> String {
    Template::parse("sk-proj-{long:74,74}")
        .unwrap()
        .fill(seed)
        .text
}

/// The keys that are found in a file, in order of their places, with the decoders that led there.
fn found(name: &str, bytes: &[u8]) -> Vec<(String, Vec<&'static str>)> {
    let matcher = Matcher::new(&Rules::built_in(), None);
    let unpacking = Unpacking::default();
    let examiner = Examiner {
        matcher: &matcher,
        unpacking: &unpacking,
        go_on: &|| true,
    };
    let mut found = Vec::new();
    let seen = examiner.bytes(name.as_bytes(), bytes, &mut |one| {
        let key = String::from_utf8_lossy(one.hit.secret.expose()).into_owned();
        found.push((key, one.hit.decoders));
    });
    assert!(seen.unread.is_empty(), "{name}: {:?}", seen.unread);
    found
}

fn plain(keys: &[u64]) -> Vec<(String, Vec<&'static str>)> {
    keys.iter().map(|seed| (key(*seed), vec![])).collect()
}

/// Python's compiled modules: marshalled constants, each with its type and length.
#[test]
fn pyc() {
    let mut bytes = b"\xcb\x0d\x0d\x0a\0\0\0\0".to_vec();
    bytes.extend([0; 8]);
    let constant = |kind: u8, long: bool, text: &str| {
        let length = text.len() as u32;
        let length = if long {
            length.to_le_bytes().to_vec()
        } else {
            vec![length as u8]
        };
        [&[kind | 0x80], &length[..], text.as_bytes()].concat()
    };
    bytes.extend([0xe3, 0, 0, 0, 0]);
    // A short ASCII string, an interned one, a long one, and one that is not ASCII.
    bytes.extend(constant(b'z', false, &key(1)));
    bytes.extend(constant(b'Z', false, &key(2)));
    bytes.extend(constant(
        b'a',
        true,
        &format!("{}OPENAI_API_KEY = '{}'", "x ".repeat(300), key(3)),
    ));
    bytes.extend(constant(b'u', true, &format!("Schlüssel: {}", key(4))));
    bytes.extend(constant(b's', true, &key(5)));
    assert_eq!(found("a.cpython-312.pyc", &bytes), plain(&[1, 2, 3, 4, 5]));
}

/// Java's heap dumps: texts are arrays of Latin-1 bytes, or of UTF-16 with the high byte first.
#[test]
fn hprof() {
    let mut bytes = b"JAVA PROFILE 1.0.2\0\0\0\0\x08".to_vec();
    bytes.extend(0u64.to_be_bytes());
    let mut dump = Vec::new();
    let mut array = |kind: u8, count: usize, data: &[u8]| {
        dump.push(0x23);
        dump.extend(0x7000_0000_u64.to_be_bytes());
        dump.extend(1u32.to_be_bytes());
        dump.extend((count as u32).to_be_bytes());
        dump.push(kind);
        dump.extend(data);
    };
    array(8, key(1).len(), key(1).as_bytes());
    let wide: Vec<u8> = key(2).encode_utf16().flat_map(u16::to_be_bytes).collect();
    array(5, key(2).len(), &wide);
    bytes.extend([0x1c, 0, 0, 0, 0]);
    bytes.extend((dump.len() as u32).to_be_bytes());
    bytes.extend(dump);
    assert_eq!(
        found("heap.hprof", &bytes),
        [(key(1), vec![]), (key(2), vec!["utf-16"])]
    );
}

/// Core files hold memory as it was: environments, buffers, strings of any program.
#[test]
fn core() {
    let mut bytes = b"\x7fELF\x02\x01\x01".to_vec();
    bytes.resize(16, 0);
    bytes.extend([4, 0, 62, 0]);
    bytes.resize(3 * 4096, 0);
    bytes.extend(format!("PATH=/bin\0OPENAI_API_KEY={}\0HOME=/\0", key(1)).as_bytes());
    bytes.resize(40 << 10, 0);
    // A buffer of a program that keeps UTF-16 (Node.js, .NET), at an odd address.
    bytes.push(b'x');
    bytes.extend(key(2).encode_utf16().flat_map(u16::to_le_bytes));
    bytes.resize(50 << 10, 0xff);
    assert_eq!(
        found("core.1234", &bytes),
        [(key(1), vec![]), (key(2), vec!["utf-16"])]
    );
}

/// The cells of a Windows registry's file, which are allocated from its first bin on.
struct Hive(Vec<u8>);

impl Hive {
    /// Puts bytes into a new cell, whose place it returns: the way other cells name it.
    fn cell(&mut self, bytes: &[u8]) -> u32 {
        let place = self.0.len() as u32;
        let size = (4 + bytes.len()).next_multiple_of(8);
        self.0.extend((-(size as i32)).to_le_bytes());
        self.0.extend(bytes);
        self.0.resize(place as usize + size, 0);
        place
    }

    /// A cell that was given back: its size is positive, and nothing points to it.
    fn free(&mut self, bytes: &[u8]) {
        let place = self.cell(bytes) as usize;
        let size = i32::from_le_bytes(self.0[place..place + 4].try_into().unwrap());
        self.0[place..place + 4].copy_from_slice(&(-size).to_le_bytes());
    }

    fn list(&mut self, places: &[u32]) -> u32 {
        let bytes: Vec<u8> = places
            .iter()
            .flat_map(|place| place.to_le_bytes())
            .collect();
        self.cell(&bytes)
    }

    /// A value of the type REG_SZ. Longer ones than 16,344 bytes are cut into segments of so many.
    fn value(&mut self, name: &str, text: &str) -> u32 {
        const SEGMENT: usize = 16_344;
        let data = wide(text);
        let at = match data.len() {
            ..=SEGMENT => self.cell(&data),
            _ => {
                let segments: Vec<u32> = data.chunks(SEGMENT).map(|part| self.cell(part)).collect();
                let list = self.list(&segments).to_le_bytes();
                let count = (segments.len() as u16).to_le_bytes();
                self.cell(&[&b"db"[..], &count, &list].concat())
            }
        };
        let mut vk = b"vk".to_vec();
        vk.extend((name.len() as u16).to_le_bytes());
        vk.extend(
            [data.len() as u32, at, 1]
                .iter()
                .flat_map(|n| n.to_le_bytes()),
        );
        vk.extend([1, 0, 0, 0]);
        vk.extend(name.as_bytes());
        self.cell(&vk)
    }

    /// A key with the values and the key below it.
    fn key(&mut self, name: &str, flags: u16, values: &[u32], below: Option<(u32, &str)>) -> u32 {
        const NONE: u32 = u32::MAX;
        let subkeys = below.map_or(NONE, |(place, name)| {
            let hash = name.bytes().fold(0u32, |hash, byte| {
                hash.wrapping_mul(37)
                    .wrapping_add(u32::from(byte.to_ascii_uppercase()))
            });
            let entry = [place.to_le_bytes(), hash.to_le_bytes()].concat();
            self.cell(&[b"lh\x01\0", &entry[..]].concat())
        });
        let list = match values {
            [] => NONE,
            values => self.list(values),
        };
        let mut nk = b"nk".to_vec();
        nk.extend(flags.to_le_bytes());
        nk.extend([0; 12]);
        let count = u32::from(below.is_some());
        let numbers = [
            NONE,
            count,
            0,
            subkeys,
            NONE,
            values.len() as u32,
            list,
            NONE,
            NONE,
        ];
        nk.extend(numbers.iter().flat_map(|number| number.to_le_bytes()));
        nk.extend([0; 20]);
        nk.extend((name.len() as u32).to_le_bytes());
        nk.extend(name.as_bytes());
        self.cell(&nk)
    }

    fn finish(mut self, root: u32) -> Vec<u8> {
        // What is left of the bin is one free cell.
        let used = self.0.len();
        let size = (used + 8).next_multiple_of(4096);
        self.0.extend(((size - used) as u32).to_le_bytes());
        self.0.resize(size, 0);
        self.0[8..12].copy_from_slice(&(size as u32).to_le_bytes());
        let mut base = b"regf\x01\0\0\0\x01\0\0\0".to_vec();
        base.extend([0; 8]);
        let numbers = [1, 5, 0, 1, root, size as u32, 1];
        base.extend(numbers.iter().flat_map(|number: &u32| number.to_le_bytes()));
        base.resize(508, 0);
        let words = base
            .chunks_exact(4)
            .map(|word| u32::from_le_bytes(word.try_into().unwrap()));
        let sum = words.fold(0, |sum, word| sum ^ word);
        base.extend(sum.to_le_bytes());
        base.resize(4096, 0);
        [base, self.0].concat()
    }
}

fn wide(text: &str) -> Vec<u8> {
    text.encode_utf16()
        .chain([0])
        .flat_map(u16::to_le_bytes)
        .collect()
}

/// A user's part of the Windows registry, where `setx` writes: a value's text lies in one piece, UTF-16,
/// and is left behind when it is changed.
#[test]
fn registry() {
    let mut hive = Hive(b"hbin\0\0\0\0\0\0\0\0".to_vec());
    hive.0.resize(32, 0);
    hive.free(&wide(&key(1)));
    let filler = "x;".repeat(3_500);
    let values = [
        hive.value(
            "Path",
            r"%USERPROFILE%\AppData\Local\Microsoft\WindowsApps;",
        ),
        hive.value("OPENAI_API_KEY", &key(2)),
        // As long as a value in one piece may be; longer ones are in segments.
        hive.value("LONG", &format!("{filler}OPENAI_API_KEY={}", key(3))),
        hive.value(
            "LONGER",
            &format!("{filler}{filler}{filler}OPENAI_API_KEY={}", key(4)),
        ),
    ];
    let environment = hive.key("Environment", 0x20, &values, None);
    let root = hive.key("ROOT", 0x2c, &[], Some((environment, "Environment")));
    let bytes = hive.finish(root);
    let expected: Vec<_> = (1..=4).map(|n| (key(n), vec!["utf-16"])).collect();
    assert_eq!(found("NTUSER.DAT", &bytes), expected);
}

/// Chrome's extensions: a zip behind a signed header.
#[test]
fn crx() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/archives/extension.zip");
    let zip = std::fs::read(path).unwrap();
    let header = [&[0x0a; 4], key(1).as_bytes()].concat();
    let mut bytes = b"Cr24\x03\0\0\0".to_vec();
    bytes.extend((header.len() as u32).to_le_bytes());
    bytes.extend(&header);
    bytes.extend(&zip);
    let found = found("a.crx", &bytes);
    assert_eq!(found[..], plain(&[1])[..], "what stands before the zip");
    let matcher = Matcher::new(&Rules::built_in(), None);
    let unpacking = Unpacking::default();
    let examiner = Examiner {
        matcher: &matcher,
        unpacking: &unpacking,
        go_on: &|| true,
    };
    let seen = examiner.bytes(b"a.crx", &bytes, &mut |_| {});
    assert_eq!(seen.members.items, 2, "manifest.json and background.js");
}
