//! Globs over paths, each relative to the directory where it was written.

use std::path::{Component, Path, PathBuf};

use globset::{GlobBuilder, GlobSet, GlobSetBuilder};

use super::value::{Glob, Many};

/// Many globs, compiled.
#[derive(Clone, Debug, Default)]
pub struct Globs {
    /// What relative paths are relative to.
    here: PathBuf,
    /// For each directory in which globs were written, those globs.
    sets: Vec<(PathBuf, GlobSet)>,
}

/// The two forms of a glob: what it names, and everything below that. As in `.gitignore`, a glob
/// without a slash names a file or directory at any depth, one with a slash is relative to its
/// directory, `*` and `?` stop at a slash and `**` does not.
pub(super) fn compile(pattern: &str) -> Result<[globset::Glob; 2], String> {
    let wrong = |problem: &str| format!("the glob {pattern:?} {problem}");
    if pattern.starts_with('!') {
        return Err(wrong(
            "would take something back; name what to leave out instead",
        ));
    }
    let path = pattern.strip_prefix('/').unwrap_or(pattern);
    let path = path.strip_suffix('/').unwrap_or(path);
    if path.is_empty() {
        return Err(wrong("names nothing"));
    }
    if path.split('/').any(|part| part == "..") {
        return Err(wrong("leads out of the directory it is relative to"));
    }
    let anywhere = !path.contains('/') && !pattern.starts_with('/');
    let path = match anywhere {
        true => format!("**/{path}"),
        false => path.to_owned(),
    };
    let build = |path: &str| {
        GlobBuilder::new(path)
            .literal_separator(true)
            .build()
            .map_err(|error| wrong(&format!("can't be used: {}", error.kind())))
    };
    Ok([build(&path)?, build(&format!("{path}/**"))?])
}

impl Globs {
    /// Compiles the globs of a setting. `here` is the working directory, absolute and without links.
    pub fn new(globs: &Many<Glob>, here: &Path) -> Self {
        let mut builders: Vec<(PathBuf, GlobSetBuilder)> = Vec::new();
        for glob in globs.iter() {
            let base = plain(&glob.base);
            let at = builders
                .iter()
                .position(|(other, _)| *other == base)
                .unwrap_or_else(|| {
                    builders.push((base, GlobSetBuilder::new()));
                    builders.len() - 1
                });
            let forms = compile(&glob.pattern).expect("compiled once already, when it was read");
            for form in forms {
                builders[at].1.add(form);
            }
        }
        let sets = builders.into_iter().map(|(base, builder)| {
            let set = builder
                .build()
                .expect("each of its globs was compiled before");
            (base, set)
        });
        Self {
            here: here.to_owned(),
            sets: sets.collect(),
        }
    }

    /// Whether there is none, so that nobody need ask.
    pub fn is_empty(&self) -> bool {
        self.sets.is_empty()
    }

    /// Whether a glob names `path`, or a directory above it. A path that was given by way of a
    /// symbolic link is not resolved for this: it may escape the globs, and is read then.
    pub fn matches(&self, path: &Path) -> bool {
        if self.is_empty() {
            return false;
        }
        let path = plain(&self.here.join(path));
        self.sets.iter().any(|(base, set)| {
            path.strip_prefix(base)
                .is_ok_and(|path| !path.as_os_str().is_empty() && set.is_match(path))
        })
    }

    /// The same for a path within a repository as it was at some time: it is compared with each glob
    /// as if that had been written at the top of it.
    pub fn matches_below(&self, path: &Path) -> bool {
        self.sets.iter().any(|(_, set)| set.is_match(path))
    }
}

/// `path` without `.`, `..` and doubled slashes, which no glob names.
fn plain(path: &Path) -> PathBuf {
    let mut out = PathBuf::new();
    for component in path.components() {
        match component {
            Component::CurDir => {}
            Component::ParentDir => {
                out.pop();
            }
            other => out.push(other),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::super::value::{One, Origin};
    use super::*;

    fn globs(all: &[(&str, &str)]) -> Globs {
        let one = |(base, pattern): &(&str, &str)| One {
            value: Glob {
                pattern: (*pattern).to_owned(),
                base: PathBuf::from(base),
            },
            origin: Origin::Default,
        };
        Globs::new(&Many(all.iter().map(one).collect()), Path::new("/r"))
    }

    #[test]
    fn a_glob_without_a_slash_matches_at_any_depth_and_everything_below() {
        let set = globs(&[
            ("/r", "*.min.js"),
            ("/r", "vendor"),
            ("/r", "/top"),
            ("/r", "docs/*.md"),
        ]);
        let under = |path: &str| set.matches(Path::new(path));
        for named in [
            "a.min.js",
            "x/y/a.min.js",
            "vendor",
            "vendor/a/b",
            "x/vendor/a",
            "top",
            "top/a",
            "docs/a.md",
            "./vendor/a",
            "x/./vendor//a",
            "x/../top/a",
        ] {
            assert!(under(named), "{named}");
        }
        for other in [
            "a.js",
            "vendored/a",
            "x/top",
            "docs/a/b.md",
            "x/docs/a.md",
            "top/../src",
            "",
        ] {
            assert!(!under(other), "{other}");
        }
    }

    #[test]
    fn a_glob_reaches_no_further_than_its_directory() {
        let set = globs(&[("/r/sub", "**"), ("/r/../s/.", "a/")]);
        assert!(set.matches(Path::new("/r/sub/x")));
        assert!(!set.matches(Path::new("/r/sub")));
        assert!(!set.matches(Path::new("/r/x")));
        assert!(!set.matches(Path::new("/r/subway/x")));
        assert!(set.matches(Path::new("/s/a/b")));
        assert!(!Globs::default().matches(Path::new("x")));
    }

    #[test]
    fn globs_that_mean_something_else_are_refused() {
        for (pattern, why) in [
            ("!a", "take something back"),
            ("../a", "leads out"),
            ("", "names nothing"),
            ("/", "names nothing"),
            ("a[", "can't be used"),
            ("{a", "can't be used"),
        ] {
            assert!(compile(pattern).unwrap_err().contains(why), "{pattern}");
        }
    }

    #[cfg(unix)]
    #[test]
    fn names_need_not_be_utf8() {
        use std::ffi::OsStr;
        use std::os::unix::ffi::OsStrExt;
        let set = globs(&[("/r", "*.bin")]);
        assert!(set.matches(OsStr::from_bytes(b"d\xff/a\xfe.bin").as_ref()));
    }
}
