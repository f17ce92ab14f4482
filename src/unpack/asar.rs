//! `asar`, the archives of Electron's applications: a table in JSON, then the files as they are.
//!
//! Source: the format in `README.md` of Electron's asar package; Chromium's `Pickle` around the table.

use serde_json::{Map, Value};

use super::{Access, Body, Damage, Format, Input, Members, Step, part};

pub(super) struct Asar;

/// What stands before the table: four numbers of 4 bytes.
const BEFORE: usize = 16;

/// How deep directories may lie in each other.
const DEEPEST: usize = 100;

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
        let table: Value = serde_json::from_slice(&table)
            .map_err(|error| Damage::broken(format!("its table is no JSON: {error}")))?;
        let mut files = Vec::new();
        list(&table, &mut Vec::new(), 0, &mut files);
        let base = 8 + u64::from(outer);
        out.each(files.len(), &|number, out| {
            let (path, offset, size) = &files[number];
            let from = base.saturating_add(*offset);
            let to = from.saturating_add(*size);
            out.covers(from..to.min(file.size()));
            let mut section = file.section(from..to);
            out.member(
                Step::file(&path[..]),
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

/// The files below a directory: path, offset behind the table, size. Those that lie beside the
/// archive (`unpacked`) have no offset, and are files of their own.
fn list(directory: &Value, path: &mut Vec<u8>, depth: usize, files: &mut Vec<(Vec<u8>, u64, u64)>) {
    let none = Map::new();
    let entries = directory.get("files").and_then(Value::as_object);
    for (name, entry) in entries.unwrap_or(&none) {
        let length = path.len();
        if length > 0 {
            path.push(b'/');
        }
        path.extend_from_slice(name.as_bytes());
        // Offsets may exceed what JavaScript's numbers hold, and are strings.
        let offset = entry.get("offset").and_then(Value::as_str);
        let offset = offset.and_then(|text| text.parse::<u64>().ok());
        let size = entry.get("size").and_then(Value::as_u64);
        match (offset, size) {
            (Some(offset), Some(size)) => files.push((path.clone(), offset, size)),
            _ if depth < DEEPEST => list(entry, path, depth + 1, files),
            _ => {}
        }
        path.truncate(length);
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
