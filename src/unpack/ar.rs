//! `ar`: Debian's packages, static libraries. A header of 60 bytes stands before each member.
//!
//! Sources: ar(5) of GNU binutils and of the BSDs; deb(5).

use std::io::{self, Read};

use super::part::Part;
use super::{Body, Damage, Format, Input, Members, Step};

pub(super) struct Ar;

const MAGIC: &[u8] = b"!<arch>\n";
/// How large the table of GNU's long names may be.
const NAMES: u64 = 16 << 20;
/// How long a name of the BSDs may be.
const NAME: u64 = 4096;

impl Format for Ar {
    fn name(&self) -> &'static str {
        "ar"
    }

    fn recognises(&self, head: &[u8], _name: &[u8]) -> bool {
        head.starts_with(MAGIC)
    }

    fn unpack(&self, input: Input<'_>, out: &mut dyn Members) -> Result<(), Damage> {
        let mut input = input.into_reader();
        input.read_exact(&mut [0; MAGIC.len()])?;
        let mut names = Vec::new();
        let mut header = [0; 60];
        loop {
            // Members begin at even places. A writer may leave out the last byte.
            match super::part::fill(&mut input, &mut header)? {
                0 => return Ok(()),
                60 if header[58..] == *b"`\n" => {}
                60 => return Err(Damage::broken("what should be a member's header is none")),
                _ => return Err(Damage::broken("it ends within a member's header")),
            }
            let Some(size) = decimal(&header[48..58]) else {
                return Err(Damage::broken("a member's size is no number"));
            };
            let mut part = Part::new(&mut input, size);
            let field = header[..16].trim_ascii_end();
            if field == b"//" && size <= NAMES {
                let _held = out.reserve(size).ok_or(Damage::TooLarge)?;
                names.clear();
                part.read_to_end(&mut names)?;
                out.text(Step::part("names"), &names);
            } else {
                let name = name(field, &names, &mut part)?;
                let left = part.left();
                out.member(Step::file(name), Body::Stream(&mut part, Some(left)))?;
            }
            part.finish()?;
            if size % 2 == 1 {
                io::copy(&mut (&mut input).take(1), &mut io::sink())?;
            }
        }
    }
}

/// A member's name: in its header, in GNU's table, or (BSD) before its bytes.
fn name(field: &[u8], names: &[u8], part: &mut Part<'_, impl Read>) -> Result<Vec<u8>, Damage> {
    if let Some(length) = field.strip_prefix(b"#1/").and_then(decimal) {
        if length > part.left() || length > NAME {
            return Err(Damage::broken("a member's name is longer than it may be"));
        }
        let mut name = Vec::new();
        part.take(length).read_to_end(&mut name)?;
        // Padded with NULs.
        let end = memchr::memchr(0, &name).unwrap_or(name.len());
        name.truncate(end);
        return Ok(name);
    }
    if let Some(at) = field.strip_prefix(b"/").and_then(decimal) {
        let from = usize::try_from(at).ok().and_then(|at| names.get(at..));
        let name = from.unwrap_or(field);
        // The table was handed out whole, so nothing is lost of a name without an end.
        let name = &name[..name.len().min(NAME as usize)];
        let end = memchr::memchr(b'\n', name).unwrap_or(name.len());
        return Ok(without_slash(&name[..end]).to_owned());
    }
    Ok(without_slash(field).to_owned())
}

/// GNU ends names with a slash. The table of symbols is called so.
fn without_slash(name: &[u8]) -> &[u8] {
    match name {
        b"/" => name,
        _ => name.strip_suffix(b"/").unwrap_or(name),
    }
}

/// A number, padded with blanks.
fn decimal(field: &[u8]) -> Option<u64> {
    std::str::from_utf8(field.trim_ascii()).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::super::testing::{self, Got, gzip, tar};
    use super::*;

    fn entry(name: &str, data: &[u8]) -> Vec<u8> {
        let mut out = format!(
            "{name:<16}{:<12}{:<6}{:<6}{:<8}{:<10}`\n",
            0,
            0,
            0,
            644,
            data.len()
        );
        assert_eq!(out.len(), 60);
        if data.len() % 2 == 1 {
            out.push('\n');
        }
        let padding = out.split_off(60);
        [out.as_bytes(), data, padding.as_bytes()].concat()
    }

    fn ar(entries: &[Vec<u8>]) -> Vec<u8> {
        [MAGIC, &entries.concat()].concat()
    }

    #[test]
    fn a_debian_package_is_read_through() {
        let control = gzip(&tar(&[("./postinst", b"#!/bin/sh\nexport KEY=1\n")]));
        let data = gzip(&tar(&[("./usr/bin/app", b"app")]));
        let deb = ar(&[
            entry("debian-binary", b"2.0\n"),
            entry("control.tar.gz", &control),
            entry("data.tar.gz/", &data),
        ]);
        for notes in [
            testing::unpack("a.deb", &deb),
            testing::unpack_stream("", &deb, 3),
        ] {
            let contents = notes.contents();
            let (ways, _): (Vec<_>, Vec<_>) = contents.into_iter().unzip();
            assert_eq!(
                ways,
                [
                    "debian-binary",
                    "control.tar.gz!gzip!./postinst",
                    "data.tar.gz!gzip!./usr/bin/app"
                ]
            );
            assert!(notes.hold("KEY=1") && notes.unread().is_empty());
        }
    }

    #[test]
    fn long_names_are_found_in_both_dialects() {
        let archive = ar(&[
            entry("/", b"symbols"),
            entry("//", b"a_rather_long_name.o/\nanother_long_name.o/\n"),
            entry("/22", b"odd"),
            entry("/0", b"1"),
            entry("/99999", b"no such name"),
            entry("#1/20", b"bsd_long_name.o\0\0\0\0\0data"),
        ]);
        let notes = testing::unpack("a.a", &archive);
        let (names, _): (Vec<_>, Vec<_>) = notes.contents().into_iter().unzip();
        let long = ["another_long_name.o", "a_rather_long_name.o"];
        assert_eq!(names, ["/", long[0], long[1], "/99999", "bsd_long_name.o"]);
        assert!(notes.hold("data") && notes.unread().is_empty());
    }

    #[test]
    fn a_table_of_names_is_handed_out_once_and_no_name_is_longer_than_any() {
        let archive = ar(&[
            entry("//", b"one/\n"),
            entry("//", &[b'x'; 9000]),
            entry("/0", b"a"),
            entry("/0", b"b"),
        ]);
        let notes = testing::unpack("", &archive);
        let texts = notes.0.iter().filter_map(|(_, got)| match got {
            Got::Text(text) => Some(text.len()),
            _ => None,
        });
        assert_eq!(texts.collect::<Vec<_>>(), [5, 9000]);
        let names = notes.contents().into_iter().map(|(name, _)| name.len());
        assert_eq!(names.collect::<Vec<_>>(), [NAME as usize; 2]);
    }

    #[test]
    fn damage_is_named() {
        let good = ar(&[entry("one", b"first"), entry("#1/4", b"two\0second")]);
        for end in MAGIC.len() + 1..good.len() {
            let between = end == MAGIC.len() + 65 || end == MAGIC.len() + 66;
            let notes = testing::unpack("", &good[..end]);
            assert_eq!(notes.unread().is_empty(), between, "cut at {end}");
        }
        for size in ["-1", "99999999999", "1e3", "18446744073709551616"] {
            let mut bad = good.clone();
            bad[MAGIC.len() + 48..MAGIC.len() + 58]
                .copy_from_slice(format!("{size:<10.10}").as_bytes());
            assert!(!testing::unpack("", &bad).unread().is_empty(), "{size}");
        }
        let bad_name = ar(&[entry("#1/99", b"short")]);
        assert!(!testing::unpack("", &bad_name).unread().is_empty());
    }
}
