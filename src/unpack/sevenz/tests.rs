//! Archives that 7-Zip made, and such as it never would.

use std::io::Write;

use crate::unpack::testing::{self, Got, Notes};

/// An archive that 7-Zip 16 made of [`files`], see `tests/archives/README.md`.
fn archive(name: &str) -> Vec<u8> {
    let path = format!("{}/tests/archives/{name}", env!("CARGO_MANIFEST_DIR"));
    std::fs::read(path).unwrap()
}

const ALL: &[&str] = &[
    "bcj-lzma.7z",
    "bcj2.7z",
    "copy.7z",
    "deflate.7z",
    "deflate64.7z",
    "delta-bzip2.7z",
    "lzma-plain-header.7z",
    "lzma2.7z",
    "ppmd.7z",
];

/// What the archives hold: code with calls and jumps to the same places, and texts.
fn files() -> Vec<(String, Vec<u8>)> {
    let mut code = Vec::new();
    for n in 0..400 {
        for (opcode, target) in [([0x90, 0xe8], 0x4000), ([0x0f, 0x84], 0x2000 + n % 7)] {
            let distance = target - (code.len() as i32 + 6);
            code.extend(opcode);
            code.extend(distance.to_le_bytes());
        }
    }
    let lines: String = (0..40).map(|n| format!("first file, line {n}\n")).collect();
    vec![
        ("code.bin".into(), code),
        ("one.txt".into(), lines.into_bytes()),
        ("two.txt".into(), b"second file\n".to_vec()),
    ]
}

fn sorted(notes: &Notes) -> Vec<(String, Vec<u8>)> {
    let mut contents = notes.contents();
    contents.retain(|(way, _)| !way.is_empty());
    contents.sort();
    contents
}

#[test]
fn every_method_gives_the_same_files() {
    for name in ALL {
        let notes = testing::unpack(name, &archive(name));
        assert_eq!(notes.unread(), [], "{name}");
        assert!(sorted(&notes) == files(), "{name}: {:?}", notes.0.len());
    }
}

#[test]
fn so_do_its_zips() {
    for name in ["ppmd.zip", "deflate64.zip"] {
        let packed = archive(name);
        for notes in [
            testing::unpack(name, &packed),
            testing::unpack_stream(name, &packed, 100),
        ] {
            assert_eq!(notes.unread(), [], "{name}");
            let mut files_of = sorted(&notes);
            files_of.retain(|(name, _)| name != "empty");
            assert!(files_of == files(), "{name}: {notes:?}");
        }
    }
}

#[test]
fn what_needs_a_password_or_an_unknown_method_is_named() {
    let unread = |name: &str| testing::unpack(name, &archive(name)).unread();
    let each = |why: &str| -> Vec<_> {
        let names = files().into_iter().map(|(name, _)| name);
        names.map(|name| (name, why.to_owned())).collect()
    };
    let mut encrypted = unread("encrypted.7z");
    encrypted.sort();
    assert_eq!(encrypted, each("it is encrypted"));
    let header = [("header".to_owned(), "it is encrypted".to_owned())];
    assert_eq!(unread("encrypted-header.7z"), header);
    let brotli = &[0x04, 0xf7, 0x11, 0x02];
    let packed = sevenz(
        brotli,
        &[],
        b"whatever",
        &[("one.txt", b"1"), ("two.txt", b"2")],
    );
    let why = "it can't be unpacked: compressed with brotli".to_owned();
    let both = ["one.txt", "two.txt"].map(|name| (name.to_owned(), why.clone()));
    assert_eq!(testing::unpack("", &packed).unread(), both);
}

#[test]
fn damage_is_named() {
    for name in ALL {
        let good = archive(name);
        for end in (6..good.len()).step_by(11) {
            let notes = testing::unpack(name, &good[..end]);
            assert_eq!(notes.unread().len(), 1, "{name} cut at {end}");
        }
        // Every byte of the header, which stands at the end, is changed in a few ways.
        let header = good.len().saturating_sub(220).max(12);
        for at in (12..32).chain(header..good.len()) {
            for change in [0x01, 0x80, 0xff] {
                let mut bad = good.clone();
                bad[at] ^= change;
                testing::unpack(name, &bad);
            }
        }
    }
}

#[test]
fn a_window_is_no_larger_than_what_it_is_for() {
    let mut large = archive("lzma-plain-header.7z");
    let properties = [0x23, 3, 1, 1, 5, 0x5d];
    let at = memchr::memmem::rfind(&large, &properties).unwrap() + properties.len();
    large[at..at + 4].fill(0xff);
    let notes = testing::unpack("", &large);
    assert_eq!(
        notes.unread(),
        [],
        "a window of 4 GiB, of content of a few kilobytes"
    );
    assert!(sorted(&notes) == files());
}

#[test]
fn a_header_that_states_anything_costs_nothing() {
    // A plain header: one packed stream, and a count that is larger than any memory.
    let huge = [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f];
    let heads: [&[u8]; 4] = [
        &[1, 4, 6, 0],          // packed streams
        &[1, 4, 7, 0x0b],       // folders
        &[1, 4, 7, 0x0b, 1, 0], // coders
        &[1, 5],                // files
    ];
    for head in heads {
        let notes = testing::unpack("", &plain(&[head, &huge].concat()));
        assert_eq!(notes.unread().len(), 1);
    }
}

/// An archive of one folder with one coder, and a header that is not packed.
fn sevenz(method: &[u8], properties: &[u8], packed: &[u8], files: &[(&str, &[u8])]) -> Vec<u8> {
    let number = |value: usize| [&[0xff][..], &(value as u64).to_le_bytes()].concat();
    let sum = |bytes: &[u8]| {
        let mut sum = libdeflater::Crc::new();
        sum.update(bytes);
        sum.sum().to_le_bytes()
    };
    let contents = || files.iter().map(|(_, content)| content);
    let mut header = vec![0x01, 0x04];
    header.extend([&[0x06, 0, 1, 0x09][..], &number(packed.len()), &[0]].concat());
    header.extend([0x07, 0x0b, 1, 0, 1, 0x20 | method.len() as u8]);
    header.extend([method, &[properties.len() as u8], properties].concat());
    header.push(0x0c);
    header.extend(number(contents().map(|content| content.len()).sum()));
    header.extend([0, 0x08, 0x0d]);
    header.extend(number(files.len()));
    header.push(0x09);
    contents()
        .take(files.len() - 1)
        .for_each(|content| header.extend(number(content.len())));
    header.extend([0x0a, 1]);
    contents().for_each(|content| header.extend(sum(content)));
    header.extend([0, 0, 0x05]);
    header.extend(number(files.len()));
    let names = files
        .iter()
        .flat_map(|(name, _)| name.encode_utf16().chain([0]));
    let names: Vec<u8> = names.flat_map(u16::to_le_bytes).collect();
    header.extend([&[0x11][..], &number(names.len() + 1), &[0], &names, &[0, 0]].concat());
    let mut start = (packed.len() as u64).to_le_bytes().to_vec();
    start.extend((header.len() as u64).to_le_bytes());
    start.extend(sum(&header));
    let head = [b"7z\xbc\xaf\x27\x1c\0\x04", &sum(&start)[..], &start].concat();
    [&head, packed, &header].concat()
}

const PPMD: &[u8] = &[0x03, 0x04, 0x01];

/// The properties of PPMd, and what it makes of `content`, which 7-Zip ends without a mark.
fn ppmd(order: u32, memory: u32, content: &[u8]) -> (Vec<u8>, Vec<u8>) {
    use std::io::Write;
    let mut to = ppmd_rust::Ppmd7Encoder::new(Vec::new(), order, memory).unwrap();
    to.write_all(content).unwrap();
    let packed = to.finish(false).unwrap();
    ([&[order as u8][..], &memory.to_le_bytes()].concat(), packed)
}

/// Text with a word of its own in every line.
fn lines(count: u32) -> Vec<u8> {
    let line = |n: u32| format!("{n}: {} of so many\n", n.wrapping_mul(2_654_435_761));
    (0..count).map(line).collect::<String>().into_bytes()
}

#[test]
fn ppmd_is_read_whatever_its_order_and_however_often_its_model_is_full() {
    let (one, two) = (lines(2000), lines(40));
    for (order, memory) in [(2, 2048), (6, 1 << 14), (32, 1 << 20), (64, 16 << 20)] {
        let (properties, packed) = ppmd(order, memory, &[&one[..], &two].concat());
        let files: [(&str, &[u8]); 2] = [("one", &one), ("two", &two)];
        let notes = testing::unpack("", &sevenz(PPMD, &properties, &packed, &files));
        assert_eq!(notes.unread(), [], "order {order}, {memory} bytes");
        let expected = [("one".into(), one.clone()), ("two".into(), two.clone())];
        assert!(sorted(&notes) == expected, "order {order}, {memory} bytes");
    }
}

#[test]
fn a_model_takes_no_more_memory_than_there_may_be() {
    let text = lines(9);
    let (mut properties, packed) = ppmd(6, 1 << 20, &text);
    let archive = |properties: &[u8]| sevenz(PPMD, properties, &packed, &[("one", &text)]);
    properties[1..].copy_from_slice(&(1u32 << 31).to_le_bytes());
    let unread = |properties: &[u8]| testing::unpack("", &archive(properties)).unread();
    let over = "it is over the limit (--max-memory)".to_owned();
    assert_eq!(unread(&properties), [("one".to_owned(), over)]);
    // An order, or a memory, that no model has; too few properties.
    for properties in [
        &[6, 0, 0, 0, 0][..],
        &[1, 0, 0, 16, 0],
        &[65, 0, 0, 16, 0],
        &[6],
    ] {
        assert_eq!(unread(properties).len(), 1, "{properties:?}");
    }
}

#[test]
fn damaged_ppmd_is_read_up_to_the_damage_and_named() {
    let text = lines(600);
    let (properties, packed) = ppmd(6, 1 << 16, &text);
    let read = |packed: &[u8]| {
        let archive = sevenz(PPMD, &properties, packed, &[("one", &text)]);
        let notes = testing::unpack("", &archive);
        let content = notes.0.iter().find_map(|(way, got)| match got {
            Got::Member(content, _) if way == &["one"] => Some(content.clone()),
            _ => None,
        });
        (content.unwrap_or_default(), notes.unread())
    };
    assert_eq!(read(&packed), (text.clone(), vec![]));
    for end in [0, 3, 5, 100, packed.len() / 2, packed.len() - 5] {
        let (content, unread) = read(&packed[..end]);
        assert!(text.starts_with(&content), "cut at {end}");
        assert!(
            content.len() + 100 > end && unread.len() == 1,
            "cut at {end}: {unread:?}"
        );
    }
    // What follows a wrong byte is nonsense of the right length: its checksum tells.
    let mut random = 1u32;
    for at in (0..packed.len()).step_by(211) {
        let mut bad = packed.clone();
        for byte in &mut bad[at..] {
            random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            *byte ^= (random >> 24) as u8 | 1;
        }
        let (content, unread) = read(&bad);
        assert!(unread.len() == 1 && content.len() <= text.len(), "at {at}");
        let same = content
            .iter()
            .zip(&text)
            .take_while(|(a, b)| a == b)
            .count();
        assert!(same + 100 > at, "at {at}: {same}");
    }
}

/// An archive of a header alone.
fn plain(header: &[u8]) -> Vec<u8> {
    let mut bytes = b"7z\xbc\xaf\x27\x1c\0\x04\0\0\0\0".to_vec();
    bytes.extend(0u64.to_le_bytes());
    bytes.extend((header.len() as u64).to_le_bytes());
    bytes.extend([0; 4]);
    bytes.extend(header);
    bytes
}

#[test]
fn what_goes_over_all_that_was_counted_comes_once() {
    let lists: [&[u8]; 4] = [
        &[1, 5, 1, 0, 5, 1, 0, 0],                            // files
        &[1, 5, 1, 0x11, 1, 0, 0x11, 1, 0, 0, 0],             // names
        &[1, 4, 6, 0, 0, 0, 6, 0, 0, 0, 0, 0],                // packed streams
        &[1, 4, 7, 0x0b, 0, 0, 0x0c, 0, 8, 0, 8, 0, 0, 0, 0], // files in folders
    ];
    for list in lists {
        let unread = testing::unpack("", &plain(list)).unread();
        assert!(unread[0].1.ends_with("twice"), "{unread:?}");
    }
    // Fillers may stand between any two.
    let notes = testing::unpack("", &plain(&[1, 5, 1, 0x19, 0, 0x19, 0, 0, 0]));
    assert_eq!(notes.unread(), []);
}

#[test]
fn folders_of_three_bytes_each_take_no_more_than_what_was_reserved() {
    let header = |count: u32| {
        let size = count.to_le_bytes();
        let folders = [1u8, 0].repeat(count as usize);
        let sizes = vec![0; count as usize];
        let start = [1, 4, 7, 0x0b, 0xe0, size[0], size[1], size[2], 0];
        plain(&[&start, &folders[..], &[0x0c], &sizes, &[0, 0, 0]].concat())
    };
    let unread = |count| testing::unpack("", &header(count)).unread();
    // Each lacks its packed stream.
    assert_eq!(unread(1000).len(), 1000);
    let unread = unread(100_000);
    assert!(unread.len() == 1 && unread[0].1.contains("more than"));
}

#[test]
fn what_comes_to_nothing_in_the_end_is_bounded() {
    let deflate = |bytes: &[u8]| {
        let mut to = flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::best());
        to.write_all(bytes).unwrap();
        to.finish().unwrap()
    };
    let nothing = b"\0\0\0\xff\xff".repeat(500_000);
    let packed = deflate(&deflate(&nothing));
    let size = |size: usize| [0xc0 | (size >> 16) as u8, size as u8, (size >> 8) as u8];
    let (start, length) = (packed.len() as u64, packed.len() as u8);
    let coder = [3, 4, 1, 8];
    // Three coders, the second upon the first, the third upon that.
    let folder = [&[3][..], &coder, &coder, &coder, &[1, 0, 2, 1]].concat();
    let header = [
        &[1, 4, 6, 0, 1, 9, length, 0, 7, 0x0b, 1, 0][..],
        &folder,
        &[0x0c],
        &[size(3000), size(nothing.len()), size(9)].concat(),
        &[0, 0, 0],
    ];
    let mut bytes = plain(&header.concat());
    bytes[12..20].copy_from_slice(&start.to_le_bytes());
    bytes.splice(32..32, packed);
    let unread = testing::unpack("", &bytes).unread();
    assert!(
        unread.len() == 1 && unread[0].1.contains("between its decoders"),
        "{unread:?}"
    );
}
