//! Zips that lie, are cut, or stand behind something else.

use crate::coverage::Unread;
use crate::unpack::testing::{Got, unpack, unpack_stream, zip};

const TEXT: &[u8] = b"some text that is long enough to be compressed, to be compressed, and cut";

fn files(bytes: &[u8]) -> Vec<(String, Vec<u8>)> {
    let mut contents = unpack("", bytes).contents();
    contents.sort();
    contents
}

fn expected(names: &[&str]) -> Vec<(String, Vec<u8>)> {
    names
        .iter()
        .map(|name| (name.to_string(), TEXT.to_vec()))
        .collect()
}

#[test]
fn a_zip_behind_a_program_is_found_by_its_end() {
    let packed = zip(&[("a", 8, TEXT), ("b", 0, TEXT)]);
    let behind = [b"MZ and a program, with text".to_vec(), packed].concat();
    let notes = unpack("setup.exe", &behind);
    assert_eq!(files(&behind), expected(&["a", "b"]));
    assert!(
        notes
            .0
            .contains(&(vec![], Got::Raw(0, b"MZ and a program, with text".to_vec())))
    );
    assert_eq!(notes.unread(), []);
}

#[test]
fn without_its_directory_members_are_found_by_their_headers() {
    let packed = zip(&[("a", 8, TEXT), ("b", 0, TEXT), ("c", 93, TEXT)]);
    let directory = memchr::memmem::find(&packed, b"PK\x01\x02").unwrap();
    for end in [directory, directory + 20, packed.len() - 1] {
        assert_eq!(files(&packed[..end]), expected(&["a", "b", "c"]), "{end}");
    }
    assert_eq!(
        unpack_stream("", &packed, 10).contents(),
        expected(&["a", "b", "c"])
    );
}

#[test]
fn what_the_directory_does_not_mention_is_found_too() {
    let two = [zip(&[("a", 8, TEXT)]), zip(&[("b", 8, TEXT)])].concat();
    assert_eq!(files(&two), expected(&["a", "b"]));
    // A directory that lists only the second of two members.
    let mut packed = zip(&[("a", 8, TEXT), ("b", 8, TEXT)]);
    let first = memchr::memmem::find(&packed, b"PK\x01\x02").unwrap();
    packed.drain(first..first + 47);
    let end = packed.len() - 22;
    packed[end + 8] = 1;
    packed[end + 10] = 1;
    packed[end + 12] -= 47;
    assert_eq!(files(&packed), expected(&["a", "b"]));
}

#[test]
fn sizes_that_lie_do_not_matter() {
    for (method, field, value) in [
        (8, 24, [0, 0, 0, 0]),
        (8, 24, [1, 0, 0, 0]),
        (8, 24, [0xff, 0xff, 0xff, 0x7f]),
        (8, 24, [0xff; 4]),
        (0, 24, [0xff, 0xff, 0xff, 0x7f]),
        (93, 24, [0xff; 4]),
        (98, 24, [1, 0, 0, 0]),
        (98, 24, [0xff; 4]),
    ] {
        let mut packed = zip(&[("a", method, TEXT)]);
        let entry = memchr::memmem::find(&packed, b"PK\x01\x02").unwrap();
        packed[entry + field..entry + field + 4].copy_from_slice(&value);
        let notes = unpack("", &packed);
        assert!(
            notes.hold("to be compressed, and cut"),
            "{method} {value:?}: {notes:?}"
        );
    }
    let mut packed = zip(&[("a", 8, TEXT), ("b", 8, TEXT)]);
    let entry = memchr::memmem::find(&packed, b"PK\x01\x02").unwrap();
    packed[entry + 20..entry + 24].fill(0xff);
    let notes = unpack("", &packed);
    assert!(notes.contents().contains(&("b".to_owned(), TEXT.to_vec())));
    assert!(!notes.unread().is_empty());
}

#[test]
fn encrypted_and_unknown_members_are_told() {
    let mut packed = zip(&[("a", 8, TEXT), ("b", 97, TEXT), ("c", 0, TEXT)]);
    let entry = memchr::memmem::find(&packed, b"PK\x01\x02").unwrap();
    packed[entry + 8] |= 1;
    let notes = unpack("", &packed);
    let unread = |got: &Got| matches!(got, Got::Unread(_));
    let told: Vec<_> = notes.0.iter().filter(|(_, got)| unread(got)).collect();
    assert_eq!(
        told[0],
        &(vec!["a".to_owned()], Got::Unread(Unread::Encrypted))
    );
    assert!(matches!(&told[1].1, Got::Unread(Unread::Unsupported(how)) if how.contains("wavpack")));
    assert_eq!(notes.contents(), expected(&["c"]));
}

#[test]
fn a_wrong_checksum_is_told_and_the_content_read() {
    for method in [0, 8, 93, 98] {
        let mut packed = zip(&[("a", method, TEXT)]);
        let entry = memchr::memmem::find(&packed, b"PK\x01\x02").unwrap();
        packed[entry + 16] ^= 1;
        let notes = unpack("", &packed);
        assert!(notes.hold("to be compressed, and cut"));
        assert_eq!(notes.unread().len(), 1, "{method}");
    }
}

#[test]
fn models_of_ppmd_are_what_the_member_says_or_are_named() {
    let unread = |parameters: u16| {
        let mut packed = zip(&[("a", 98, TEXT)]);
        packed[31..33].copy_from_slice(&parameters.to_le_bytes());
        unpack("", &packed).unread()
    };
    // An order of 4, and a MiB.
    assert_eq!(unread(0x0003), []);
    // Emptied in another way, once it is full: it never is.
    assert_eq!(unread(0x1003), []);
    let told = |why: &str| [("a".to_owned(), why.to_owned())];
    // 256 MiB; a model that stops to learn; an order of 1.
    let over = "it is over the limit (--max-memory)";
    assert_eq!(unread(0x0ff3), told(over));
    assert!(unread(0x2003)[0].1.contains("stops to learn"));
    assert_eq!(
        unread(0x0000),
        told("it is damaged: its PPMd parameters make no sense")
    );
}

#[test]
fn members_whose_sizes_stand_behind_them_are_walked() {
    for method in [0, 8, 12, 93, 95, 98] {
        // As a stream is written: sizes only in a descriptor.
        let mut packed = zip(&[("a", method, TEXT)]);
        let directory = memchr::memmem::find(&packed, b"PK\x01\x02").unwrap();
        packed.truncate(directory);
        packed[6] |= 8;
        let fields: Vec<u8> = packed[14..26].to_vec();
        packed[14..26].fill(0);
        packed.extend(b"PK\x07\x08");
        packed.extend(fields);
        packed.extend(zip(&[("b", 8, TEXT)]));
        let notes = unpack_stream("", &packed, 50);
        let contents = notes.contents();
        assert_eq!(contents.len(), 2, "{method}: {notes:?}");
        assert!(
            contents[0].1.starts_with(TEXT) && contents[1].1 == TEXT,
            "{method}"
        );
    }
}

#[test]
fn old_names_are_shown_in_their_code_page() {
    let mut packed = zip(&[("caf_", 8, TEXT)]);
    for at in memchr::memmem::find_iter(&packed.clone(), b"caf_") {
        packed[at + 3] = 0x82;
    }
    assert_eq!(files(&packed), expected(&["café"]));
}

#[test]
fn large_members_and_sizes_of_eight_bytes_are_read() {
    let long = TEXT.repeat(100_000);
    let mut packed = zip(&[("a", 8, &long)]);
    assert_eq!(unpack("", &packed).contents()[0].1, long);
    // The same with its sizes in the field of zip64.
    let entry = memchr::memmem::find(&packed, b"PK\x01\x02").unwrap();
    let sizes = [
        &packed[entry + 24..entry + 28],
        &[0; 4],
        &packed[entry + 20..entry + 24],
        &[0; 4],
    ]
    .concat();
    packed[entry + 20..entry + 28].fill(0xff);
    packed[entry + 30] = 20;
    let field = [&[1, 0, 16, 0][..], &sizes].concat();
    packed.splice(entry + 47..entry + 47, field);
    let end = packed.len() - 22;
    packed[end + 12] += 20;
    assert_eq!(unpack("", &packed).contents()[0].1, long);
}
