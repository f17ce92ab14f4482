//! Saved images: what `docker save`, `podman save` and `skopeo copy` write, and OCI layouts, as a tar.
//! Layers have their numbers, and the environment and the history that the configuration keeps are
//! named as such. A layer that was read before in this run is counted, and not read again.

mod configuration;
mod index;
mod layout;
mod renamed;
mod roles;

use sha2::{Digest, Sha256};

use self::index::{Entry, Index};
pub use self::layout::{Blob, Layout};
use self::renamed::Renamed;
use self::roles::{Role, roles};
use super::part::Part;
use super::tar::Tar;
use super::tar::header::{BLOCK, Header};
use super::{Access, Body, Damage, Format, Input, Members, ReadAt, Section, Step};

pub(super) struct Image;

impl Format for Image {
    fn name(&self) -> &'static str {
        "image"
    }

    fn access(&self) -> Access {
        Access::Random
    }

    fn recognises(&self, head: &[u8], _name: &[u8]) -> bool {
        let header = head.first_chunk::<BLOCK>().and_then(Header::parse);
        header.is_some_and(|header| may_begin(&index::plain(header.path())))
    }

    fn unpack(&self, input: Input<'_>, out: &mut dyn Members) -> Result<(), Damage> {
        let file = match input {
            Input::Random(file) => file,
            // Too large to be held: the layers come before the manifest that gives them numbers.
            stream => return Tar.unpack(stream, &mut Renamed::new(out)),
        };
        let roles = |index: &Index<'_>| roles(&|path| index.content(path.as_bytes()));
        let index = Index::read(file)?;
        let known = index.map(|index| (roles(&index), index));
        let Some((roles, index)) = known.filter(|(roles, _)| !roles.is_empty()) else {
            // A tar like any other.
            out.covers(0..file.size());
            return Tar.unpack(Input::Random(file), out);
        };
        out.covers(0..index.end.min(file.size()));
        for text in &index.texts {
            out.text(Step::part("name"), text);
        }
        out.each(index.entries.len(), &|number, out| {
            let entry = &index.entries[number];
            hand_out(file, &index, entry, roles.get(&entry.path), out)
        })
    }
}

/// Whether an image's first file may be called so.
fn may_begin(path: &[u8]) -> bool {
    let is_digest = path.len() >= 64 && path[..64].iter().all(u8::is_ascii_hexdigit);
    let names: [&[u8]; 4] = [
        b"oci-layout",
        b"index.json",
        b"manifest.json",
        b"repositories",
    ];
    is_digest || path == b"blobs" || path.starts_with(b"blobs/") || names.contains(&path)
}

fn hand_out(
    file: &dyn ReadAt,
    index: &Index<'_>,
    entry: &Entry,
    role: Option<&Role>,
    out: &mut dyn Members,
) -> Result<(), Damage> {
    let size = entry.range.end - entry.range.start;
    let mut section = file.section(entry.range.clone());
    let step = match role {
        Some(role) => role.step(),
        None => Step::file(&entry.path[..]),
    };
    match role {
        Some(Role::Configuration(_)) => {
            if let Some(bytes) = index.bytes(entry) {
                return Ok(configuration::unpack(step, &bytes, out)?);
            }
        }
        Some(Role::Layer(_)) => {
            let mut first = vec![0; FIRST];
            let read = file.read_full(&mut first, entry.range.start)?;
            first.truncate(read.min(usize::try_from(size).unwrap_or(usize::MAX)));
            if let Some(layer) = identity(&entry.path, size, &first)
                && out.seen(layer, size)
            {
                return Ok(());
            }
        }
        None => {}
    }
    match Section::bytes(&section).filter(|bytes| bytes.len() as u64 == size) {
        Some(bytes) => out.member(step, Body::Bytes(bytes))?,
        None => out.member(
            step,
            Body::Stream(&mut Part::new(&mut section, size), Some(size)),
        )?,
    }
    Ok(())
}

/// As much of a layer has a say in whether it is another one.
const FIRST: usize = 64 << 10;

/// What a layer is known by: the digest in its path, its size and its first bytes. `None` if its path
/// has no digest. The digest is not computed again: that would take as long as reading the layer.
fn identity(path: &[u8], size: u64, first: &[u8]) -> Option<[u8; 32]> {
    let mut parts = path.split(|byte| matches!(byte, b'/' | b'.'));
    let digest = parts.find(|part| part.len() == 64 && part.iter().all(u8::is_ascii_hexdigit))?;
    let mut hash = Sha256::new();
    hash.update(digest);
    hash.update(size.to_le_bytes());
    hash.update(first);
    Some(hash.finalize().into())
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::super::testing::{self, Got, Notes, gzip, tar, tar_entry};
    use super::roles;

    fn digest(n: u8) -> String {
        format!("{n:02x}").repeat(32)
    }

    fn blob(n: u8) -> String {
        format!("blobs/sha256/{}", digest(n))
    }

    fn layer(name: &str, text: &str) -> Vec<u8> {
        gzip(&tar(&[(name, text.as_bytes())]))
    }

    const CONFIGURATION: &str = r#"{"architecture":"amd64",
        "config":{"Env":["PATH=/bin","TOKEN=abc"],"Labels":{"maintainer":"somebody"}},
        "container_config":{"Env":["TOKEN=abc","ONLY_HERE=1"]},
        "history":[{"created_by":"/bin/sh -c #(nop) ADD file"},
                   {"created_by":"ENV TOKEN=abc","comment":"buildkit"}]}"#;

    fn docker() -> Vec<u8> {
        let manifest = format!(
            r#"[{{"Config":"{}","RepoTags":["app:1"],"Layers":["{}","{}"]}}]"#,
            blob(0xcc),
            blob(1),
            blob(2)
        );
        tar(&[
            (&blob(1), &layer("etc/one", "first")),
            (&blob(2), &layer("app/two", "second")),
            (&blob(0xcc), CONFIGURATION.as_bytes()),
            ("manifest.json", manifest.as_bytes()),
        ])
    }

    fn oci() -> Vec<u8> {
        let manifest = |config: u8, layers: &[u8]| {
            let layers = layers
                .iter()
                .map(|n| format!(r#"{{"digest":"sha256:{}"}}"#, digest(*n)));
            let layers = layers.collect::<Vec<_>>().join(",");
            let config = digest(config);
            format!(r#"{{"config":{{"digest":"sha256:{config}"}},"layers":[{layers}]}}"#)
        };
        let index = format!(
            r#"{{"manifests":[
                {{"digest":"sha256:{}","platform":{{"os":"linux","architecture":"amd64"}}}},
                {{"digest":"sha256:{}","platform":{{"os":"linux","architecture":"arm64"}}}},
                {{"digest":"sha256:{}"}}]}}"#,
            digest(0xa1),
            digest(0xa2),
            digest(0xff)
        );
        tar(&[
            ("oci-layout", br#"{"imageLayoutVersion":"1.0.0"}"#),
            ("index.json", index.as_bytes()),
            (&blob(0xa1), manifest(0xc1, &[1, 2]).as_bytes()),
            (&blob(0xa2), manifest(0xc2, &[1, 3]).as_bytes()),
            (&blob(0xc1), CONFIGURATION.as_bytes()),
            (&blob(0xc2), b"no JSON"),
            (&blob(1), &layer("etc/one", "first")),
            (&blob(2), &layer("app/two", "second")),
            (
                &blob(3),
                &zstd::encode_all(&tar(&[("app/three", b"third")])[..], 0).unwrap(),
            ),
        ])
    }

    fn ways(notes: &Notes) -> Vec<String> {
        notes.contents().into_iter().map(|(way, _)| way).collect()
    }

    fn texts(notes: &Notes) -> Vec<(String, String)> {
        let text = |(way, got): &(Vec<String>, Got)| match got {
            Got::Text(text) => Some((way.join("!"), String::from_utf8_lossy(text).into_owned())),
            _ => None,
        };
        notes.0.iter().filter_map(text).collect()
    }

    #[test]
    fn layers_have_numbers_and_the_configuration_is_named() {
        let notes = testing::unpack("app.tar", &docker());
        let expected = [
            "layer 1!gzip!etc/one",
            "layer 2!gzip!app/two",
            "configuration",
            "manifest.json",
        ];
        assert_eq!(ways(&notes), expected);
        let texts = texts(&notes);
        let own = |kind: &str, text: &str| (kind.to_owned(), text.to_owned());
        assert_eq!(
            texts,
            [
                own("environment PATH", "PATH=/bin"),
                own("environment TOKEN", "TOKEN=abc"),
                own("environment ONLY_HERE", "ONLY_HERE=1"),
                own("history 1", "/bin/sh -c #(nop) ADD file"),
                own("history 2", "ENV TOKEN=abc"),
                own("history 2", "buildkit"),
            ]
        );
        let (_, rest) = &notes.contents()[2];
        let rest = String::from_utf8_lossy(rest);
        assert!(
            rest.contains("maintainer") && !rest.contains("TOKEN"),
            "{rest}"
        );
        assert_eq!(notes.unread(), []);
    }

    #[test]
    fn a_manifest_is_read_once_however_often_it_is_named() {
        let read = Cell::new(0);
        let one = format!(r#"{{"digest":"sha256:{}"}}"#, digest(0xa1));
        let index = format!(r#"{{"manifests":[{}]}}"#, vec![one; 500].join(","));
        let found = roles::roles(&|path| {
            read.set(read.get() + 1);
            match path {
                "index.json" => Some(index.clone().into_bytes()),
                "manifest.json" => None,
                _ => Some(br#"{"config":{"digest":"sha256:c"},"layers":[]}"#.to_vec()),
            }
        });
        assert_eq!((read.get(), found.len()), (3, 1));
    }

    #[test]
    fn layouts_are_followed_to_all_their_images() {
        let notes = testing::unpack("layout.tar", &oci());
        let ways = ways(&notes);
        for way in [
            "layer 1 of linux/amd64!gzip!etc/one",
            "layer 2 of linux/amd64!gzip!app/two",
            "layer 2 of linux/arm64!zstd!app/three",
            "configuration linux/amd64",
            "configuration linux/arm64",
            "index.json",
        ] {
            assert!(ways.iter().any(|known| known == way), "{way}: {ways:?}");
        }
        assert_eq!(notes.unread(), []);
    }

    #[test]
    fn a_layer_is_read_once() {
        // The same layer in two images, and another one that says it is the same, and is not.
        let manifest = format!(r#"[{{"Config":"c","Layers":["{}"]}}]"#, blob(1));
        let image =
            |layer: &[u8]| tar(&[(&blob(1), layer), ("manifest.json", manifest.as_bytes())]);
        let one = image(&layer("etc/one", "first"));
        let other = image(&layer("etc/one", "other"));
        let all = tar(&[("a.tar", &one), ("b.tar", &one), ("c.tar", &other)]);
        let notes = testing::unpack("", &all);
        let seen: Vec<_> = notes
            .0
            .iter()
            .filter(|(_, got)| matches!(got, Got::Seen(_)))
            .collect();
        assert_eq!(seen.len(), 1, "{:?}", ways(&notes));
        assert_eq!(seen[0].0, ["b.tar"]);
        assert!(notes.hold("first") && notes.hold("other"));
    }

    #[test]
    fn a_stream_has_names_from_where_its_manifest_stands() {
        for piece in [1000, 65_536] {
            let notes = testing::unpack_stream("", &docker(), piece);
            assert!(notes.hold("first") && notes.hold("second") && notes.hold("TOKEN=abc"));
            assert!(ways(&notes).contains(&format!("{}!gzip!etc/one", blob(1))));
        }
        let manifest = format!(
            r#"[{{"Config":"{}","Layers":["{}"]}}]"#,
            blob(0xcc),
            blob(2)
        );
        let ahead = [
            tar_entry(b"manifest.json", b'0', manifest.as_bytes()),
            docker(),
        ]
        .concat();
        let notes = testing::unpack_stream("", &ahead, 1000);
        assert!(
            ways(&notes).contains(&"layer 1!gzip!app/two".to_owned()),
            "{:?}",
            ways(&notes)
        );
        assert!(
            texts(&notes)
                .iter()
                .any(|(way, _)| way == "environment TOKEN")
        );
        assert_eq!(notes.unread(), []);
    }

    #[test]
    fn what_only_looks_like_an_image_is_a_tar_like_any_other() {
        for manifest in ["{}", "[]", "no JSON", r#"[{"Config":1}]"#] {
            let files: [(&str, &[u8]); 2] =
                [("manifest.json", manifest.as_bytes()), ("blobs/x", b"text")];
            let notes = testing::unpack("", &tar(&files));
            assert_eq!(ways(&notes), ["manifest.json", "blobs/x"], "{manifest}");
        }
        let long = [tar_entry(b"blobs/a", b'L', b"a/long/name\0"), docker()].concat();
        let notes = testing::unpack("", &long);
        assert!(
            ways(&notes).contains(&"a/long/name!gzip!etc/one".to_owned()),
            "{:?}",
            ways(&notes)
        );
    }

    #[test]
    fn damage_is_named_and_indexes_that_name_each_other_end() {
        let good = docker();
        for end in (600..good.len()).step_by(101) {
            testing::unpack("", &good[..end]);
        }
        // The manifest stands before a layer that is cut off.
        let manifest = format!(r#"[{{"Config":"c","Layers":["{}"]}}]"#, blob(1));
        let image = tar(&[
            ("manifest.json", manifest.as_bytes()),
            (&blob(1), &layer("etc/one", "first")),
        ]);
        let notes = testing::unpack("", &image[..image.len() - 1024 - 470]);
        assert_eq!(notes.unread().len(), 1, "{:?}", notes.unread());

        let own = format!(
            r#"{{"manifests":[{}]}}"#,
            vec![format!(r#"{{"digest":"sha256:{}"}}"#, digest(1)); 50].join(",")
        );
        let circle = tar(&[("index.json", own.as_bytes()), (&blob(1), own.as_bytes())]);
        assert_eq!(
            ways(&testing::unpack("", &circle)),
            ["index.json".to_owned(), blob(1)]
        );
    }
}
