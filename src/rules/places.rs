//! Where keys settle on a machine: the list in `rules/places.toml`, for one operating system.

use std::collections::BTreeSet;

use serde::Deserialize;

use super::PLACES;

/// An operating system that the list knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum System {
    /// Linux and other Unix systems.
    Linux,
    /// macOS.
    MacOs,
    /// Windows.
    Windows,
}

impl System {
    /// The one that this program was built for.
    pub const HERE: Self = if cfg!(windows) {
        Self::Windows
    } else if cfg!(target_os = "macos") {
        Self::MacOs
    } else {
        Self::Linux
    };
}

/// Something that keeps what people type or configure.
#[derive(Clone, Debug)]
pub struct Place {
    /// What it is asked for by.
    pub name: String,
    /// What all of its kind are asked for by.
    pub group: String,
    /// What it is, in words.
    pub title: String,
    /// Where it is documented, or the program's own text: addresses, separated by commas.
    pub source: String,
    /// Patterns of its files and directories on this system.
    pub paths: Vec<String>,
}

/// Why places can't be looked at.
#[derive(Debug, thiserror::Error)]
pub enum PlaceError {
    /// A name that the list doesn't have.
    #[error("there is no place, and no group of places, called {name:?}")]
    Unknown {
        /// What was asked for.
        name: String,
    },
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    place: Vec<Written>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    name: String,
    group: String,
    title: String,
    source: Vec<String>,
    #[serde(default)]
    paths: Vec<String>,
    #[serde(default)]
    linux: Vec<String>,
    #[serde(default)]
    macos: Vec<String>,
    #[serde(default)]
    windows: Vec<String>,
}

impl Place {
    /// All places of a system, in the order of the list.
    pub fn all(system: System) -> Vec<Self> {
        let file: File = toml::from_str(PLACES).expect("the embedded list is parsed by a test");
        let places = file.place.into_iter().map(|written| {
            let own = match system {
                System::Linux => written.linux,
                System::MacOs => written.macos,
                System::Windows => written.windows,
            };
            Self {
                name: written.name,
                group: written.group,
                title: written.title,
                source: written.source.join(", "),
                paths: [written.paths, own].concat(),
            }
        });
        places.filter(|place| !place.paths.is_empty()).collect()
    }

    /// The places of these names or groups; all, if none is named.
    ///
    /// # Errors
    /// One of them is unknown.
    pub fn named(system: System, names: &[String]) -> Result<Vec<Self>, PlaceError> {
        let mut places = Self::all(system);
        if names.is_empty() {
            return Ok(places);
        }
        let known = |name: &&String| places.iter().any(|p| p.name == **name || p.group == **name);
        if let Some(name) = names.iter().find(|name| !known(name)) {
            return Err(PlaceError::Unknown { name: name.clone() });
        }
        places.retain(|place| names.contains(&place.name) || names.contains(&place.group));
        Ok(places)
    }

    /// The names of all groups.
    pub fn groups(system: System) -> BTreeSet<String> {
        let places = Self::all(system);
        places.into_iter().map(|place| place.group).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_is_whole() {
        let mut seen = 0;
        for system in [System::Linux, System::MacOs, System::Windows] {
            let all = Place::all(system);
            let groups = Place::groups(system);
            let mut names = BTreeSet::new();
            for place in &all {
                assert!(names.insert(&place.name), "{} is there twice", place.name);
                assert!(
                    !groups.contains(&place.name)
                        || all.iter().filter(|p| p.group == place.name).count() == 1,
                    "{} names a group as well",
                    place.name
                );
                assert!(!place.title.is_empty());
                for source in place.source.split(", ") {
                    assert!(source.starts_with("https://"), "{}: {source}", place.name);
                }
                for path in &place.paths {
                    seen += 1;
                    let start = path.split('/').next().unwrap_or_default();
                    let starts = start == "~" || start.is_empty() || start.starts_with('$');
                    let drive = start.len() == 2 && start.ends_with(':');
                    assert!(starts || drive && system == System::Windows, "{path}");
                    assert!(!path.contains("**") && !path.contains('\\'), "{path}");
                }
            }
        }
        assert!(seen > 500, "{seen}");
    }

    #[test]
    fn places_are_asked_for_by_name_or_by_group() {
        let named = |names: &[&str]| {
            let names: Vec<String> = names.iter().map(|n| (*n).to_owned()).collect();
            Place::named(System::Linux, &names).map(|places| places.len())
        };
        assert_eq!(named(&["codex"]).unwrap(), 1);
        assert!(named(&["agents", "codex"]).unwrap() > 5);
        assert!(named(&[]).unwrap() > named(&["agents"]).unwrap());
        assert!(named(&["nowhere"]).is_err());
    }
}
