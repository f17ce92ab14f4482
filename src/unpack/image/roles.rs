//! Which files of a saved image are layers and configurations, as its manifests say.
//!
//! Sources: `image/spec` v1.2 of Moby (`manifest.json`), "OCI Image Layout" and "OCI Image Manifest".

use std::collections::{HashMap, HashSet};

use serde::Deserialize;

use crate::unpack::Step;

/// What a file of an image is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Role {
    /// A layer: its number from 1, and the image, if there are several.
    Layer(String),
    /// A configuration: the image, if there are several.
    Configuration(String),
}

/// The roles of an image's files, by their paths.
pub(super) type Roles = HashMap<Vec<u8>, Role>;

impl Role {
    /// The step into it.
    pub(super) fn step(&self) -> Step<'static> {
        match self {
            Self::Layer(name) => Step::named("layer", name.clone().into_bytes()),
            Self::Configuration(name) => Step::named("configuration", name.clone().into_bytes()),
        }
    }
}

/// Indexes may name others, so deep.
const DEEPEST: usize = 4;
/// How many manifests are followed.
const MOST: usize = 1000;

/// Docker's list of images.
#[derive(Deserialize)]
struct Saved {
    #[serde(rename = "Config")]
    config: String,
    #[serde(rename = "RepoTags", default)]
    tags: Option<Vec<String>>,
    #[serde(rename = "Layers", default)]
    layers: Option<Vec<String>>,
}

/// OCI's indexes and manifests: what is of interest in either.
#[derive(Deserialize)]
struct Document {
    #[serde(default)]
    manifests: Vec<Descriptor>,
    config: Option<Descriptor>,
    #[serde(default)]
    layers: Vec<Descriptor>,
}

#[derive(Deserialize)]
struct Descriptor {
    digest: String,
    platform: Option<Platform>,
    #[serde(default)]
    annotations: HashMap<String, String>,
}

#[derive(Deserialize)]
struct Platform {
    os: String,
    architecture: String,
}

impl Descriptor {
    /// Where the blob lies in a layout; `None` if it lies nowhere.
    fn path(&self) -> Option<String> {
        let (algorithm, hex) = self.digest.split_once(':')?;
        let is_plain = |c: char| c.is_ascii_alphanumeric();
        (algorithm.chars().all(is_plain) && hex.chars().all(is_plain))
            .then(|| format!("blobs/{algorithm}/{hex}"))
    }

    fn name(&self) -> Option<String> {
        let reference = self.annotations.get("org.opencontainers.image.ref.name");
        let platform = || {
            self.platform
                .as_ref()
                .map(|p| format!("{}/{}", p.os, p.architecture))
        };
        reference.cloned().or_else(platform)
    }
}

/// What Docker's `manifest.json` says.
pub(super) fn saved(manifest: &[u8]) -> Roles {
    let images: Vec<Saved> = serde_json::from_slice(manifest).unwrap_or_default();
    let mut roles = Roles::new();
    let several = images.len() > 1;
    for image in images {
        let name = image.tags.unwrap_or_default().into_iter().next();
        let name = name.filter(|_| several).unwrap_or_default();
        give(
            &mut roles,
            image.config,
            image.layers.unwrap_or_default(),
            &name,
        );
    }
    roles
}

/// What an image's manifests say. `read` gives the content of a file that lies in it.
pub(super) fn roles(read: &dyn Fn(&str) -> Option<Vec<u8>>) -> Roles {
    let mut roles = read("manifest.json")
        .map(|bytes| saved(&bytes))
        .unwrap_or_default();
    if let Some(index) = read("index.json").and_then(|bytes| serde_json::from_slice(&bytes).ok()) {
        follow(&index, "", read, DEEPEST, &mut HashSet::new(), &mut roles);
    }
    roles
}

fn follow(
    document: &Document,
    name: &str,
    read: &dyn Fn(&str) -> Option<Vec<u8>>,
    depth: usize,
    read_before: &mut HashSet<String>,
    roles: &mut Roles,
) {
    if let Some(config) = document.config.as_ref().and_then(Descriptor::path) {
        let layers = document.layers.iter().filter_map(Descriptor::path);
        give(roles, config, layers.collect(), name);
    }
    let several = document.manifests.len() > 1;
    for manifest in &document.manifests {
        if depth == 0 || read_before.len() == MOST {
            return;
        }
        // Once: who comes first names it, and a large one may be named a thousand times.
        let path = manifest
            .path()
            .filter(|path| read_before.insert(path.clone()));
        let bytes = path.and_then(|path| read(&path));
        let Some(inner) = bytes.and_then(|bytes| serde_json::from_slice(&bytes).ok()) else {
            continue;
        };
        let own = manifest.name().filter(|_| several);
        follow(
            &inner,
            own.as_deref().unwrap_or(name),
            read,
            depth - 1,
            read_before,
            roles,
        );
    }
}

/// The first image that has a file names it.
fn give(roles: &mut Roles, config: String, layers: Vec<String>, image: &str) {
    let role = Role::Configuration(image.to_owned());
    roles.entry(config.into_bytes()).or_insert(role);
    for (number, path) in (1..).zip(layers) {
        let name = match image {
            "" => format!("{number}"),
            image => format!("{number} of {image}"),
        };
        roles.entry(path.into_bytes()).or_insert(Role::Layer(name));
    }
}
