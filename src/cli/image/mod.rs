//! `--image`: an image of the local docker or podman, read through the daemon's socket as the tar that
//! `docker save` writes. Nothing but sockets of this machine is ever connected to.

mod http;

use std::io::{self, Read};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context as _, anyhow, bail};
use serde::Deserialize;

use super::error::Hint;

/// How much of an answer is read that is no image.
const MOST: u64 = 4 << 20;

/// How often a read that waits looks whether the run is to stop.
const PATIENCE: Duration = Duration::from_millis(250);

/// What the daemon says of an image.
#[derive(Deserialize)]
struct About {
    #[serde(rename = "Id", default)]
    id: String,
    #[serde(rename = "RootFS")]
    files: Option<Files>,
}

#[derive(Deserialize)]
struct Files {
    #[serde(rename = "Layers", default)]
    layers: Vec<String>,
}

/// What a daemon's answer says if it is an error.
#[derive(Deserialize)]
struct Refusal {
    #[serde(alias = "cause")]
    message: String,
}

/// Opens an image as a stream. `variable` reads the environment.
///
/// # Errors
/// No daemon answers, or none has this image.
pub(super) fn open<'a>(
    name: &str,
    variable: &dyn Fn(&str) -> Option<String>,
    stop: &'a AtomicBool,
) -> anyhow::Result<impl Read + 'a> {
    let mut without = None;
    for socket in sockets(variable)? {
        let connect = || {
            let stream = UnixStream::connect(&socket)?;
            stream.set_read_timeout(Some(PATIENCE))?;
            Ok::<_, io::Error>(Stoppable { stream, stop })
        };
        let connection = match connect() {
            Ok(connection) => connection,
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                return Err(error)
                    .with_context(|| format!("can't connect to {}", socket.display()))
                    .hint(
                        "run as a user who may use the daemon, or save the image and scan the file",
                    );
            }
            // Whoever is not there can't have it.
            Err(_) => continue,
        };
        let path = format!("/images/{}", escaped(name));
        let asked = || format!("can't ask for {name} at {}", socket.display());
        let mut about = http::get(connection, &format!("{path}/json")).with_context(asked)?;
        let mut answer = Vec::new();
        (&mut about)
            .take(MOST)
            .read_to_end(&mut answer)
            .with_context(asked)?;
        match about.status {
            200 => {}
            404 => {
                without = Some(socket);
                continue;
            }
            status => bail!("{}: {}", asked(), refusal(status, &answer)),
        }
        let about: About = serde_json::from_slice(&answer).with_context(asked)?;
        let mut image = http::get(connect()?, &format!("{path}/get")).with_context(asked)?;
        if image.status != 200 {
            let mut answer = Vec::new();
            (&mut image)
                .take(MOST)
                .read_to_end(&mut answer)
                .with_context(asked)?;
            bail!("{}: {}", asked(), refusal(image.status, &answer));
        }
        return Ok(io::Cursor::new(manifest(&about)).chain(image));
    }
    match without {
        Some(socket) => Err(anyhow!("{} has no image {name}", socket.display()))
            .hint("pull it first; `docker images` and `podman images` list what is there"),
        None => Err(anyhow!("no docker or podman answers on this machine")).hint(
            "start one, or scan a file: `docker save -o image.tar NAME`, `skewer scan image.tar`",
        ),
    }
}

/// Where daemons listen: where the environment says, and nowhere else; or at their usual places.
fn sockets(variable: &dyn Fn(&str) -> Option<String>) -> anyhow::Result<Vec<PathBuf>> {
    for name in ["DOCKER_HOST", "CONTAINER_HOST"] {
        let Some(host) = variable(name).filter(|host| !host.is_empty()) else {
            continue;
        };
        return match host.strip_prefix("unix://") {
            Some(path) => Ok(vec![PathBuf::from(path)]),
            None => Err(anyhow!("{name} names no socket of this machine")).hint(format!(
                "unset {name}, or save the image where it is and scan the file"
            )),
        };
    }
    let below = |variable_name: &str, path: &str| {
        let directory = variable(variable_name).filter(|directory| !directory.is_empty())?;
        Some(PathBuf::from(directory).join(path))
    };
    let places = [
        Some(PathBuf::from("/var/run/docker.sock")),
        below("XDG_RUNTIME_DIR", "docker.sock"),
        below("HOME", ".docker/run/docker.sock"),
        below("XDG_RUNTIME_DIR", "podman/podman.sock"),
        Some(PathBuf::from("/run/podman/podman.sock")),
    ];
    Ok(places.into_iter().flatten().collect())
}

/// A name as a part of a path. Names hold slashes, colons and `@`, and those stay.
fn escaped(name: &str) -> String {
    let mut out = String::new();
    for byte in name.bytes() {
        match byte {
            b'a'..=b'z'
            | b'A'..=b'Z'
            | b'0'..=b'9'
            | b'-'
            | b'.'
            | b'_'
            | b'~'
            | b'/'
            | b':'
            | b'@' => out.push(char::from(byte)),
            other => out.push_str(&format!("%{other:02X}")),
        }
    }
    out
}

fn refusal(status: u16, answer: &[u8]) -> String {
    match serde_json::from_slice::<Refusal>(answer) {
        Ok(Refusal { message }) => message,
        Err(_) => format!("it answers with status {status}"),
    }
}

/// A manifest to stand before the layers, which come before the daemon's own: it gives them their
/// numbers, where they are named by what is in them.
fn manifest(about: &About) -> Vec<u8> {
    let blob = |digest: &String| {
        let hex = digest.strip_prefix("sha256:").unwrap_or(digest);
        format!("blobs/sha256/{hex}")
    };
    let layers = about.files.iter().flat_map(|files| &files.layers);
    let layers: Vec<String> = layers.map(blob).collect();
    let images = serde_json::json!([{ "Config": blob(&about.id), "Layers": layers }]);
    let text = images.to_string().into_bytes();
    let mut header = [0; 512];
    header[..13].copy_from_slice(b"manifest.json");
    header[100..107].copy_from_slice(b"0000644");
    header[124..135].copy_from_slice(format!("{:011o}", text.len()).as_bytes());
    header[156] = b'0';
    header[257..265].copy_from_slice(b"ustar\x0000");
    header[148..156].fill(b' ');
    let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
    header[148..154].copy_from_slice(format!("{sum:06o}").as_bytes());
    let mut entry = [&header[..], &text].concat();
    entry.resize(entry.len().next_multiple_of(header.len()), 0);
    entry
}

/// A connection that ends when the run is to stop, even if nothing comes.
struct Stoppable<'a> {
    stream: UnixStream,
    stop: &'a AtomicBool,
}

impl Read for Stoppable<'_> {
    fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
        loop {
            match self.stream.read(to) {
                Err(error)
                    if matches!(
                        error.kind(),
                        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut
                    ) =>
                {
                    if self.stop.load(Ordering::Relaxed) {
                        return Ok(0);
                    }
                }
                result => return result,
            }
        }
    }
}

impl io::Write for Stoppable<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.stream.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.stream.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_sockets_of_this_machine_are_connected_to() {
        let set = |name: &'static str, value: &'static str| {
            move |asked: &str| (asked == name).then(|| value.to_owned())
        };
        let remote = sockets(&set("DOCKER_HOST", "tcp://10.0.0.1:2375"));
        assert!(remote.unwrap_err().to_string().contains("DOCKER_HOST"));
        assert!(sockets(&set("CONTAINER_HOST", "ssh://host")).is_err());
        let local = sockets(&set("DOCKER_HOST", "unix:///x/y.sock")).unwrap();
        assert_eq!(local, [PathBuf::from("/x/y.sock")]);
        let usual = sockets(&set("XDG_RUNTIME_DIR", "/run/user/1")).unwrap();
        assert_eq!(usual.len(), 4);
        assert!(usual.contains(&PathBuf::from("/run/user/1/podman/podman.sock")));
    }

    #[test]
    fn a_name_can_only_be_a_name() {
        assert_eq!(
            escaped("a.b:5000/c/d_e:1@sha256:ff"),
            "a.b:5000/c/d_e:1@sha256:ff"
        );
        assert_eq!(
            escaped("x HTTP/1.1\r\nX: y?z#"),
            "x%20HTTP/1.1%0D%0AX:%20y%3Fz%23"
        );
    }
}
