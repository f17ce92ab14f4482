//! Reads Rust sources just well enough to tell code from comments, strings and tests.

use std::path::{Path, PathBuf};

/// A file under `src`.
pub(super) struct Source {
    /// Relative to `src`, with `/`.
    pub(super) path: String,
    /// As it stands on disk.
    pub(super) text: String,
    /// Its code alone: comments, the contents of literals and `#[cfg(test)]` items are blanked,
    /// lines stay where they are.
    pub(super) code: String,
}

impl Source {
    pub(super) fn new(path: &str, text: &str) -> Self {
        Self {
            path: path.to_owned(),
            text: text.to_owned(),
            code: without_tests(&code_alone(text)),
        }
    }

    /// The room it belongs to: the first part of its path.
    pub(super) fn room(&self) -> &str {
        let first = self.path.split('/').next().expect("split yields one part");
        first.strip_suffix(".rs").unwrap_or(first)
    }

    /// How many lines stand before the tests, which come last in every file.
    pub(super) fn lines_outside_tests(&self) -> usize {
        let tests = self
            .text
            .find("#[cfg(test)]\nmod tests {")
            .unwrap_or(self.text.len());
        self.text[..tests].lines().count()
    }

    /// The lines of code in which `word` stands on its own, as `path:line`.
    pub(super) fn places(&self, word: &str) -> Vec<String> {
        let lines = self.code.lines().enumerate();
        lines
            .filter(|(_, line)| has_word(line, word))
            .map(|(n, _)| format!("src/{}:{}: {word}", self.path, n + 1))
            .collect()
    }

    /// The rooms it names, as `crate::room`, in a group of `use crate::{…}`, or by `super` from a
    /// room's own root.
    pub(super) fn imports(&self) -> Vec<String> {
        let tight: String = self.code.split_whitespace().collect::<Vec<_>>().join(" ");
        let is_root = !self.path.contains('/')
            || self.path.matches('/').count() == 1 && self.path.ends_with("/mod.rs");
        let roots: &[&str] = match (self.path.as_str(), is_root) {
            ("main.rs", _) => &["crate::", "skewer::"],
            ("lib.rs", _) => &["crate::", "self::"],
            (_, true) => &["crate::", "super::"],
            (_, false) => &["crate::", "super::super::"],
        };
        let mut found = Vec::new();
        for root in roots {
            for (at, _) in tight.match_indices(root) {
                let before = tight[..at].chars().next_back();
                if before.is_some_and(|c| is_ident(c) || c == ':') {
                    continue;
                }
                found.extend(heads(&tight[at + root.len()..]));
            }
        }
        found.sort();
        found.dedup();
        found
    }
}

/// The first names of the paths in `a::b`, or of each in `{a::b, c::{d, e}, f}`.
fn heads(path: &str) -> Vec<String> {
    let name = |text: &str| {
        text.trim_start()
            .chars()
            .take_while(|c| is_ident(*c))
            .collect::<String>()
    };
    let Some(group) = path.strip_prefix('{') else {
        return vec![name(path)];
    };
    let mut depth = 0;
    let mut starts = true;
    let mut out = Vec::new();
    for (at, c) in group.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth == 0 => break,
            '}' => depth -= 1,
            ',' if depth == 0 => starts = true,
            c if starts && is_ident(c) => {
                out.push(name(&group[at..]));
                starts = false;
            }
            _ => {}
        }
    }
    out
}

fn is_ident(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

fn has_word(line: &str, word: &str) -> bool {
    line.match_indices(word).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        let after = line[at + word.len()..].chars().next();
        let starts = word.starts_with(is_ident);
        let ends = word.ends_with(is_ident);
        !(starts && before.is_some_and(is_ident) || ends && after.is_some_and(is_ident))
    })
}

/// `text` with comments and the insides of string and character literals as spaces.
fn code_alone(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    let blank = |out: &mut Vec<u8>, part: &[u8]| {
        out.extend(part.iter().map(|b| if *b == b'\n' { b'\n' } else { b' ' }))
    };
    while at < bytes.len() {
        let rest = &text[at..];
        let length = if rest.starts_with("//") {
            rest.find('\n').unwrap_or(rest.len())
        } else if rest.starts_with("/*") {
            block_comment(rest)
        } else if let Some(length) = raw_string(rest, bytes[..at].last().copied()) {
            length
        } else if rest.starts_with('"') {
            quoted(rest)
        } else if rest.starts_with('\'') {
            character(rest)
        } else {
            out.push(bytes[at]);
            at += 1;
            while !text.is_char_boundary(at) {
                out.push(b' ');
                at += 1;
            }
            continue;
        };
        blank(&mut out, &bytes[at..at + length]);
        at += length;
    }
    String::from_utf8_lossy(&out).into_owned()
}

fn block_comment(rest: &str) -> usize {
    let (mut depth, mut at) = (0, 0);
    let bytes = rest.as_bytes();
    while at + 1 < bytes.len() {
        match &bytes[at..at + 2] {
            b"/*" => (depth, at) = (depth + 1, at + 2),
            b"*/" => (depth, at) = (depth - 1, at + 2),
            _ => at += 1,
        }
        if depth == 0 {
            return at;
        }
    }
    bytes.len()
}

fn raw_string(rest: &str, before: Option<u8>) -> Option<usize> {
    if before.is_some_and(|b| b.is_ascii_alphanumeric() || b == b'_') {
        return None;
    }
    let prefix = ["br", "cr", "r"]
        .into_iter()
        .find(|p| rest.starts_with(p))?;
    let hashes = rest[prefix.len()..]
        .bytes()
        .take_while(|b| *b == b'#')
        .count();
    let open = prefix.len() + hashes + 1;
    (rest.as_bytes().get(open - 1) == Some(&b'"')).then_some(())?;
    let close = format!("\"{}", "#".repeat(hashes));
    Some(
        rest[open..]
            .find(&close)
            .map_or(rest.len(), |end| open + end + close.len()),
    )
}

fn quoted(rest: &str) -> usize {
    let mut escaped = false;
    for (at, b) in rest.bytes().enumerate().skip(1) {
        match b {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => return at + 1,
            _ => {}
        }
    }
    rest.len()
}

/// A character literal, or just the quote of a lifetime.
fn character(rest: &str) -> usize {
    let mut chars = rest.char_indices().skip(1);
    match chars.next() {
        Some((_, '\\')) => rest[3..].find('\'').map_or(1, |end| 3 + end + 1),
        Some((_, _)) => match chars.next() {
            Some((at, '\'')) => at + 1,
            _ => 1,
        },
        None => 1,
    }
}

/// `code` with every item under `#[cfg(test)]` as spaces.
fn without_tests(code: &str) -> String {
    let mut out = code.as_bytes().to_vec();
    for (at, attribute) in code.match_indices("#[cfg(test)]") {
        let from = at + attribute.len();
        let opens = code[from..]
            .find(['{', ';'])
            .map_or(code.len(), |n| from + n);
        let end = match code.as_bytes().get(opens) {
            Some(b'{') => closing(code, opens),
            _ => (opens + 1).min(code.len()),
        };
        for b in &mut out[at..end] {
            *b = if *b == b'\n' { b'\n' } else { b' ' };
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

fn closing(code: &str, opens: usize) -> usize {
    let mut depth = 0;
    for (at, b) in code.bytes().enumerate().skip(opens) {
        match b {
            b'{' => depth += 1,
            b'}' => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return at + 1;
        }
    }
    code.len()
}

/// All files under `src`, but for modules that exist in tests alone.
pub(super) fn sources(src: &Path) -> Vec<Source> {
    let mut paths = Vec::new();
    walk(src, &mut paths);
    let mut all = Vec::new();
    let mut tests_only: Vec<PathBuf> = Vec::new();
    for path in &paths {
        let text = std::fs::read_to_string(path).expect("sources are UTF-8");
        let code = code_alone(&text);
        for (at, attribute) in code.match_indices("#[cfg(test)]") {
            let item = code[at + attribute.len()..].trim_start();
            let item = item.strip_prefix("pub(crate) ").unwrap_or(item);
            let declared = item.strip_prefix("mod ").and_then(|m| m.split_once(';'));
            if let Some((name, _)) = declared
                && name.chars().all(is_ident)
            {
                let home = match path.file_stem().and_then(|s| s.to_str()) {
                    Some("mod" | "lib" | "main") => path.with_file_name(""),
                    _ => path.with_extension(""),
                };
                tests_only.push(home.join(name));
            }
        }
        all.push((path, text));
    }
    all.retain(|(path, _)| {
        let module = path.with_extension("");
        !tests_only.iter().any(|test| module.starts_with(test))
    });
    let relative = |path: &Path| {
        let parts = path.strip_prefix(src).expect("walked from there").iter();
        parts
            .map(|p| p.to_string_lossy())
            .collect::<Vec<_>>()
            .join("/")
    };
    all.iter()
        .map(|(path, text)| Source::new(&relative(path), text))
        .collect()
}

fn walk(dir: &Path, into: &mut Vec<PathBuf>) {
    let mut entries: Vec<_> = std::fs::read_dir(dir)
        .expect("the directory is ours")
        .map(|entry| entry.expect("it can be read").path())
        .collect();
    entries.sort();
    for path in entries {
        if path.is_dir() {
            walk(&path, into);
        } else if path.extension().is_some_and(|e| e == "rs") {
            into.push(path);
        }
    }
}
