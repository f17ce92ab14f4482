//! `asar`, the archives of Electron's applications: a table in JSON, then the files as they are.
//!
//! Source: the format in `README.md` of Electron's asar package; Chromium's `Pickle` around the table.

use std::borrow::Cow;
use std::fmt;

use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, Visitor};

use super::{Access, Body, Damage, Format, Input, Members, Step, part};

pub(super) struct Asar;

/// What stands before the table: four numbers of 4 bytes.
const BEFORE: usize = 16;

/// No path is longer.
const PATH: usize = 4096;

impl Format for Asar {
    fn name(&self) -> &'static str {
        "asar"
    }

    fn access(&self) -> Access {
        Access::Random
    }

    fn recognises(&self, head: &[u8], _name: &[u8]) -> bool {
        // The first number is the length of the second. The third is less than the second by 4, the
        // fourth is the table's length, and the table begins with its files.
        let Some(numbers) = numbers(head) else {
            return false;
        };
        let [four, outer, inner, table] = numbers;
        four == 4
            && outer.checked_sub(4) == Some(inner)
            && inner.checked_sub(4).is_some_and(|room| table <= room)
            && head[BEFORE..].starts_with(b"{\"")
    }

    fn unpack(&self, input: Input<'_>, out: &mut dyn Members) -> Result<(), Damage> {
        let file = part::random(input, out)?;
        let mut head = [0; BEFORE];
        let got = file.read_full(&mut head, 0)?;
        let Some([_, outer, _, length]) = numbers(&head[..got]) else {
            return Err(Damage::broken("it ends within its header"));
        };
        // A parsed table takes a few times its size.
        let Some(_held) = out.reserve(u64::from(length) * 8) else {
            return Err(Damage::TooLarge);
        };
        let end = BEFORE as u64 + u64::from(length);
        if end > file.size() {
            return Err(Damage::broken("its table is cut off"));
        }
        let mut table = vec![0; length as usize];
        file.read_full(&mut table, BEFORE as u64)?;
        let listed = Listed::parse(&table)
            .map_err(|error| Damage::broken(format!("its table can't be read: {error}")))?;
        let base = 8 + u64::from(outer);
        out.each(listed.files.len(), &|number, out| {
            let File { offset, size, .. } = &listed.files[number];
            let from = base.saturating_add(*offset);
            let to = from.saturating_add(*size);
            out.covers(from..to.min(file.size()));
            let mut section = file.section(from..to);
            out.member(
                Step::file(listed.path(number)),
                Body::Stream(&mut section, Some(*size)),
            )?;
            match to <= file.size() {
                true => Ok(()),
                false => Err(Damage::broken("a file ends behind its end")),
            }
        })
    }
}

fn numbers(head: &[u8]) -> Option<[u32; 4]> {
    let number = |n: usize| {
        let bytes = head.get(4 * n..4 * n + 4)?;
        Some(u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]))
    };
    Some([number(0)?, number(1)?, number(2)?, number(3)?])
}

/// What the table lists, without the paths: a long name of a directory would stand in each of them.
#[derive(Default)]
struct Listed<'t> {
    /// Each with the one that it lies in, which stands before it.
    directories: Vec<(Option<usize>, Name<'t>)>,
    files: Vec<File<'t>>,
}

struct File<'t> {
    directory: Option<usize>,
    name: Name<'t>,
    /// Behind the table. Those that lie beside the archive (`unpacked`) have none, and are files of
    /// their own.
    offset: u64,
    size: u64,
}

#[derive(Deserialize)]
struct Name<'t>(#[serde(borrow)] Cow<'t, str>);

impl<'t> Listed<'t> {
    /// `serde_json` goes no deeper than 128 braces.
    fn parse(table: &'t [u8]) -> serde_json::Result<Self> {
        let mut listed = Self::default();
        let mut reader = serde_json::Deserializer::from_slice(table);
        let root = Entry {
            listed: &mut listed,
            directory: None,
            name: None,
        };
        root.deserialize(&mut reader)?;
        reader.end()?;
        Ok(listed)
    }

    /// The path of a file, up to what a path may have. The table is searched as it is, so nothing is
    /// lost of a longer one.
    fn path(&self, file: usize) -> Vec<u8> {
        let File {
            directory, name, ..
        } = &self.files[file];
        let mut names = vec![name];
        let mut at = *directory;
        while let Some((outer, name)) = at.map(|at| &self.directories[at]) {
            names.push(name);
            at = *outer;
        }
        let mut path = Vec::new();
        for name in names.iter().rev() {
            if !path.is_empty() {
                path.push(b'/');
            }
            path.extend(name.0.bytes().take(PATH));
            path.truncate(PATH);
        }
        path
    }
}

/// A file or a directory in the table; the outermost has no name.
struct Entry<'l, 't> {
    listed: &'l mut Listed<'t>,
    directory: Option<usize>,
    name: Option<Name<'t>>,
}

/// What is in a directory.
struct Files<'l, 't> {
    listed: &'l mut Listed<'t>,
    directory: Option<usize>,
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum Key {
    Files,
    Offset,
    Size,
    #[serde(other)]
    Other,
}

impl<'t> DeserializeSeed<'t> for Entry<'_, 't> {
    type Value = ();

    fn deserialize<D: Deserializer<'t>>(self, from: D) -> Result<(), D::Error> {
        from.deserialize_map(self)
    }
}

impl<'t> Visitor<'t> for Entry<'_, 't> {
    type Value = ();

    fn expecting(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        to.write_str("a file or a directory")
    }

    fn visit_map<A: MapAccess<'t>>(mut self, mut map: A) -> Result<(), A::Error> {
        let (mut offset, mut size) = (None, None);
        while let Some(key) = map.next_key()? {
            match key {
                Key::Files => {
                    let directory = self.name.take().map(|name| {
                        self.listed.directories.push((self.directory, name));
                        self.listed.directories.len() - 1
                    });
                    map.next_value_seed(Files {
                        listed: self.listed,
                        directory,
                    })?;
                }
                // It may exceed what JavaScript's numbers hold, and is a string.
                Key::Offset => offset = map.next_value::<Name<'t>>()?.0.parse().ok(),
                Key::Size => size = Some(map.next_value()?),
                Key::Other => drop(map.next_value::<IgnoredAny>()?),
            }
        }
        if let (Some(name), Some(offset), Some(size)) = (self.name, offset, size) {
            self.listed.files.push(File {
                directory: self.directory,
                name,
                offset,
                size,
            });
        }
        Ok(())
    }
}

impl<'t> DeserializeSeed<'t> for Files<'_, 't> {
    type Value = ();

    fn deserialize<D: Deserializer<'t>>(self, from: D) -> Result<(), D::Error> {
        from.deserialize_map(self)
    }
}

impl<'t> Visitor<'t> for Files<'_, 't> {
    type Value = ();

    fn expecting(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        to.write_str("what is in a directory")
    }

    fn visit_map<A: MapAccess<'t>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(name) = map.next_key()? {
            map.next_value_seed(Entry {
                listed: self.listed,
                directory: self.directory,
                name: Some(name),
            })?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{self, gzip, tar};
    use super::*;

    fn asar(table: &str, data: &[u8]) -> Vec<u8> {
        let padded = table.len().next_multiple_of(4) as u32;
        let numbers = [4, padded + 8, padded + 4, table.len() as u32];
        let mut bytes: Vec<u8> = numbers.iter().flat_map(|n| n.to_le_bytes()).collect();
        bytes.extend_from_slice(table.as_bytes());
        bytes.resize(BEFORE + padded as usize, 0);
        bytes.extend_from_slice(data);
        bytes
    }

    const TABLE: &str = r#"{"files":{"src":{"files":{"main.js":{"size":7,"offset":"0"}}},
        "native.node":{"size":9,"unpacked":true},"empty":{"files":{}},
        "a.tgz":{"size":SIZE,"offset":"7","integrity":{"hash":"no file"}}}}"#;

    #[test]
    fn files_have_their_paths_and_are_unpacked_in_turn() {
        let inner = gzip(&tar(&[("package.json", b"inside")]));
        let table = TABLE.replace("SIZE", &inner.len().to_string());
        let archive = asar(&table, &[b"main()\n", &inner[..]].concat());
        let notes = testing::unpack("app.asar", &archive);
        let contents = notes.contents();
        assert!(
            contents.contains(&("src/main.js".to_owned(), b"main()\n".to_vec())),
            "{contents:?}"
        );
        assert!(
            contents
                .iter()
                .any(|(way, c)| way.ends_with("package.json") && c == b"inside")
        );
        assert!(notes.unread().is_empty(), "{notes:?}");
    }

    #[test]
    fn the_name_of_a_directory_is_not_held_for_each_file_in_it() {
        let name = "n".repeat(50_000);
        let files = (0..1000).map(|n| format!(r#""{n}":{{"size":1,"offset":"0"}}"#));
        let files = files.collect::<Vec<_>>().join(",");
        let table = format!(
            r#"{{"files":{{"{name}":{{"files":{{{files}}}}},"end":{{"size":1,"offset":"0"}}}}}}"#
        );
        let notes = testing::unpack("", &asar(&table, b"x"));
        let longest = notes.contents().iter().map(|(way, _)| way.len()).max();
        assert_eq!(longest, Some(PATH));
        assert_eq!(notes.contents().len(), 1001);
        // What is cut of the paths is in the table.
        assert!(notes.hold(r#"n":{"files""#) && notes.unread().is_empty());
    }

    #[test]
    fn damage_is_named() {
        let archive = asar(&TABLE.replace("SIZE", "18446744073709551615"), b"main()\n");
        assert!(!testing::unpack("", &archive).unread().is_empty());
        for end in 18..archive.len() {
            testing::unpack("", &archive[..end]);
        }
        let deep = "{\"files\":{\"d\":".repeat(5000) + "{}" + &"}}".repeat(5000);
        assert!(!testing::unpack("", &asar(&deep, b"")).unread().is_empty());
    }
}
