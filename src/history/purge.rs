//! What `git filter-repo` needs to take keys out of a history: each form in which a key stands in
//! the objects, in plain or encoded, and what to write in its place. These texts hold keys: they
//! are the one thing here that is not masked, and only for the files of a plan.
//!
//! The forms of the files are git-filter-repo(1)'s, checked against its 2.47. It knows no comments
//! in them: a lone `#` would stand for every `#`. It leaves blobs with a zero byte at the front
//! alone, so those are changed by a callback, each byte by one other, as UTF-16 and binary formats
//! need it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use rayon::prelude::*;

use super::objects::Objects;
use super::refs::Refs;
use crate::matcher::{Hit, Matcher};
use crate::repo::{ObjectId, ObjectKind as Kind};
use crate::secret::{Fingerprint, Secret};

/// git-filter-repo takes a blob for binary if one of its first bytes is zero.
const BINARY_WITHIN: usize = 8192;

/// Which keys to take out, and in which objects they stand.
pub(super) type Holders = BTreeMap<ObjectId, BTreeSet<Fingerprint>>;

/// Texts that hold a key, and which one.
#[derive(Debug, Default)]
struct Forms(Vec<(Secret, Fingerprint)>);

/// What has to be changed in a history.
#[derive(Debug, Default)]
pub struct Purge {
    texts: Forms,
    binaries: Forms,
    messages: Forms,
    paths: Forms,
    people: Forms,
    refs: Forms,
    /// Blobs in which a key was seen that does not stand there as bytes: they go as a whole.
    stripped: BTreeSet<ObjectId>,
}

impl Forms {
    fn add(&mut self, text: &[u8], hit: &Hit) {
        let form = Secret::new(text[hit.span.clone()].to_vec());
        self.0.push((form, hit.fingerprint));
    }

    fn merge(&mut self, other: Self) {
        self.0.extend(other.0);
    }

    /// Each once, the longest first: a shorter one may be a part of it.
    fn in_order(&self) -> Vec<(&[u8], String)> {
        let all = self.0.iter().map(|(form, key)| (form.expose(), key));
        let mut all: Vec<_> = all.map(|(form, key)| (form, replacement(*key))).collect();
        all.sort_by(|a, b| b.0.len().cmp(&a.0.len()).then(a.cmp(b)));
        all.dedup_by_key(|one| one.0);
        all
    }

    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// For `--replace-text`, `--replace-message`: a line each.
    fn lines(&self) -> Vec<u8> {
        self.in_order()
            .iter()
            .map(|(form, new)| format!("{}==>{new}\n", pattern(form)))
            .collect::<String>()
            .into_bytes()
    }

    /// For `--paths-from-file`: an expression may match anywhere in a path.
    fn renames(&self) -> Vec<u8> {
        self.in_order()
            .iter()
            .map(|(form, new)| format!("regex:{}==>{new}\n", escaped(form)))
            .collect::<String>()
            .into_bytes()
    }

    /// The body of a callback that returns `what` without keys.
    fn callback(&self, what: &str) -> Vec<u8> {
        let mut body = String::new();
        for (form, new) in self.in_order() {
            let old = escaped(form);
            writeln!(body, "{what} = {what}.replace(b'{old}', b'{new}')").expect("a String");
        }
        writeln!(body, "return {what}").expect("a String takes all");
        body.into_bytes()
    }

    /// The body of a callback that blots keys out of binary blobs: lengths and zero bytes stay.
    fn blots(&self) -> Vec<u8> {
        let mut body = format!("if b'\\0' in blob.data[0:{BINARY_WITHIN}]:\n");
        for (form, _) in self.in_order() {
            let blot: Vec<u8> = form
                .iter()
                .map(|b| if *b == 0 { 0 } else { b'*' })
                .collect();
            let (old, new) = (escaped(form), escaped(&blot));
            writeln!(body, "  blob.data = blob.data.replace(b'{old}', b'{new}')")
                .expect("a String");
        }
        body.into_bytes()
    }
}

/// What takes a key's place: it says which one, and fits into a path, a name, a ref.
fn replacement(key: Fingerprint) -> String {
    format!("REMOVED-{:.12}", key.to_string())
}

/// A form as a line of git-filter-repo's lists begins.
fn pattern(form: &[u8]) -> String {
    let is_plain = form.iter().all(|b| b.is_ascii_graphic() || *b == b' ');
    match std::str::from_utf8(form) {
        Ok(text) if is_plain => format!("literal:{text}"),
        _ => format!("regex:{}", escaped(form)),
    }
}

/// Bytes in a regular expression or a string of Python.
fn escaped(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len());
    for &byte in bytes {
        match byte {
            b'0'..=b'9' | b'A'..=b'Z' | b'a'..=b'z' | b'_' => out.push(byte.into()),
            _ => write!(out, "\\x{byte:02x}").expect("a String takes all"),
        }
    }
    out
}

impl Purge {
    /// Reads the objects again that hold keys, and looks how these stand there.
    pub(super) fn collect(
        matcher: &Matcher,
        objects: &Objects,
        refs: &Refs,
        holders: &Holders,
        counts: impl Fn(&Fingerprint) -> bool + Sync,
    ) -> Self {
        let mut all = holders
            .par_iter()
            .map(|(id, keys)| {
                let mut purge = Self::default();
                let wanted: BTreeSet<_> = keys.iter().copied().filter(&counts).collect();
                if !wanted.is_empty() {
                    purge.object(matcher, objects, id, wanted);
                }
                purge
            })
            .reduce(Self::default, Self::merge);
        let names = refs.named.iter().map(|(name, _)| name);
        for name in names {
            let hits = matcher.search_all(name);
            let counted = hits.iter().filter(|hit| counts(&hit.fingerprint));
            counted.for_each(|hit| all.refs.add(name, hit));
        }
        all
    }

    fn object(
        &mut self,
        matcher: &Matcher,
        objects: &Objects,
        id: &ObjectId,
        mut wanted: BTreeSet<Fingerprint>,
    ) {
        let Ok(Some((kind, bytes))) = objects.read(id) else {
            self.stripped.insert(*id);
            return;
        };
        let header = memchr::memmem::find(&bytes, b"\n\n").unwrap_or(bytes.len());
        let is_binary = bytes[..bytes.len().min(BINARY_WITHIN)].contains(&0);
        let mut hits = matcher.search_all(&bytes);
        hits.retain(|hit| wanted.contains(&hit.fingerprint));
        for hit in &hits {
            wanted.remove(&hit.fingerprint);
            let forms = match kind {
                Kind::Blob if is_binary => &mut self.binaries,
                Kind::Blob => &mut self.texts,
                Kind::Tree => &mut self.paths,
                _ if hit.span.start > header => &mut self.messages,
                _ => &mut self.people,
            };
            forms.add(&bytes, hit);
        }
        if kind == Kind::Blob && !wanted.is_empty() {
            self.stripped.insert(*id);
        }
    }

    fn merge(mut self, other: Self) -> Self {
        self.texts.merge(other.texts);
        self.binaries.merge(other.binaries);
        self.messages.merge(other.messages);
        self.paths.merge(other.paths);
        self.people.merge(other.people);
        self.refs.merge(other.refs);
        self.stripped.extend(other.stripped);
        self
    }

    /// The files of a plan, by name; none if there is nothing to change. They hold keys. The last
    /// one is a script that runs `git filter-repo` with the others, in the directory it is started
    /// in.
    pub fn files(&self) -> Vec<(&'static str, Vec<u8>)> {
        let stripped: String = self.stripped.iter().map(|id| format!("{id}\n")).collect();
        let all = [
            (
                self.texts.is_empty(),
                "replace-text",
                "text.txt",
                self.texts.lines(),
            ),
            (
                self.messages.is_empty(),
                "replace-message",
                "messages.txt",
                self.messages.lines(),
            ),
            (
                self.paths.is_empty(),
                "paths-from-file",
                "renames.txt",
                self.paths.renames(),
            ),
            (
                self.binaries.is_empty(),
                "blob-callback",
                "blobs.py",
                self.binaries.blots(),
            ),
            (
                self.people.is_empty(),
                "name-callback",
                "names.py",
                self.people.callback("name"),
            ),
            (
                self.people.is_empty(),
                "email-callback",
                "emails.py",
                self.people.callback("email"),
            ),
            (
                self.refs.is_empty(),
                "refname-callback",
                "refs.py",
                self.refs.callback("refname"),
            ),
            (
                stripped.is_empty(),
                "strip-blobs-with-ids",
                "blobs.txt",
                stripped.into_bytes(),
            ),
        ];
        let mut script =
            "#!/bin/sh\nset -e\nplan=$(cd \"$(dirname \"$0\")\" && pwd)\nexec git filter-repo"
                .to_owned();
        let mut files = Vec::new();
        for (nothing, option, file, content) in all {
            if !nothing {
                write!(script, " --{option} \"$plan/{file}\"").expect("a String takes all");
                files.push((file, content));
            }
        }
        if !files.is_empty() {
            script.push_str(" \"$@\"\n");
            files.push(("purge.sh", script.into_bytes()));
        }
        files
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::Template;

    fn plan(forms: &[&[u8]]) -> Forms {
        let key = Secret::new(b"x".to_vec()).fingerprint();
        let all = forms.iter().map(|form| (Secret::new(form.to_vec()), key));
        Forms(all.collect())
    }

    #[test]
    fn lines_say_just_what_is_meant() {
        let new = replacement(Secret::new(b"x".to_vec()).fingerprint());
        let forms = plan(&[b"a#b", b"long one", b"a#b", b"T\x003\n"]);
        let lines = String::from_utf8(forms.lines()).unwrap();
        assert_eq!(
            lines,
            format!("literal:long one==>{new}\nregex:T\\x003\\x0a==>{new}\nliteral:a#b==>{new}\n")
        );
        let renames = String::from_utf8(plan(&[b"k-1"]).renames()).unwrap();
        assert_eq!(renames, format!("regex:k\\x2d1==>{new}\n"));
        let blots = String::from_utf8(plan(&[b"T\x003"]).blots()).unwrap();
        assert!(
            blots.ends_with("(b'T\\x003', b'\\x2a\\x00\\x2a')\n"),
            "{blots}"
        );
    }

    #[test]
    fn debugging_shows_no_key() {
        let key = Template::parse("sk-proj-{long:74,74}").unwrap().fill(1).key;
        let purge = Purge {
            texts: plan(&[key.as_bytes()]),
            ..Purge::default()
        };
        assert!(!format!("{purge:?}").contains(&key));
    }
}
