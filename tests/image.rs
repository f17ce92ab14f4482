//! Saved images: layouts that are directories, and `skewer scan --image`, with a daemon of our own.
#![allow(clippy::unwrap_used)]
#![cfg(unix)]

use std::io::{Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::process::{Command, Output};

use skewer::rules::Template;

fn key(seed: u64) -> String {
    let template = Template::parse("sk-proj-{long:74,74}").unwrap();
    let filled = template.fill(seed);
    filled.text
}

fn tar(files: &[(String, Vec<u8>)]) -> Vec<u8> {
    let mut tar = Vec::new();
    for (name, bytes) in files {
        let mut header = [0; 512];
        header[..name.len()].copy_from_slice(name.as_bytes());
        header[124..135].copy_from_slice(format!("{:011o}", bytes.len()).as_bytes());
        header[156] = b'0';
        header[257..265].copy_from_slice(b"ustar\x0000");
        header[148..156].fill(b' ');
        let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
        header[148..154].copy_from_slice(format!("{sum:06o}").as_bytes());
        tar.extend(header);
        tar.extend(bytes);
        tar.resize(tar.len().next_multiple_of(512), 0);
    }
    tar.resize(tar.len() + 1024, 0);
    tar
}

fn blob(n: u8) -> String {
    format!("blobs/sha256/{}", format!("{n:02x}").repeat(32))
}

/// An image whose first layer and environment hold a key each.
fn image() -> Vec<u8> {
    let file = |name: &str, text: String| tar(&[(name.to_owned(), text.into_bytes())]);
    let configuration = format!(r#"{{"config":{{"Env":["OPENAI_API_KEY={}"]}}}}"#, key(2));
    let manifest = format!(
        r#"[{{"Config":"{}","RepoTags":["app:1"],"Layers":["{}","{}"]}}]"#,
        blob(0xcc),
        blob(1),
        blob(2)
    );
    tar(&[
        (
            blob(1),
            file("root/.env", format!("OPENAI_API_KEY={}\n", key(1))),
        ),
        (blob(2), file("etc/nothing", "nothing\n".into())),
        (blob(0xcc), configuration.into_bytes()),
        ("manifest.json".into(), manifest.into_bytes()),
    ])
}

fn answer(mut stream: UnixStream, image: &[u8], cut: bool) {
    let mut request = Vec::new();
    let mut byte = [0];
    while !request.ends_with(b"\r\n\r\n") && stream.read(&mut byte).unwrap_or(0) > 0 {
        request.push(byte[0]);
    }
    let request = String::from_utf8_lossy(&request).into_owned();
    let path = request.split(' ').nth(1).unwrap_or_default();
    let hex = |n: u8| format!("sha256:{}", format!("{n:02x}").repeat(32));
    // The client may hang up early.
    let _ = match path {
        "/images/app:1/json" => {
            let about = format!(
                r#"{{"Id":"{}","RootFS":{{"Layers":["{}","{}"]}}}}"#,
                hex(0xcc),
                hex(1),
                hex(2)
            );
            let length = about.len();
            write!(
                stream,
                "HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n{about}"
            )
        }
        "/images/app:1/get" => {
            let _ = write!(
                stream,
                "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
            );
            for chunk in image.chunks(700) {
                let _ = write!(stream, "{:x}\r\n", chunk.len());
                let _ = stream.write_all(chunk);
                let _ = write!(stream, "\r\n");
                if cut {
                    return;
                }
            }
            write!(stream, "0\r\n\r\n")
        }
        "/images/broken/json" => {
            let body = r#"{"message":"the daemon is out of order"}"#;
            let length = body.len();
            write!(
                stream,
                "HTTP/1.1 500 No\r\nContent-Length: {length}\r\n\r\n{body}"
            )
        }
        _ => write!(
            stream,
            "HTTP/1.1 404 Not Found\r\nContent-Length: 2\r\n\r\n{{}}"
        ),
    };
}

fn skewer(directory: &Path, host: &str, words: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_skewer"))
        .args(["scan", "--format", "json"])
        .args(words)
        .current_dir(directory)
        .env_clear()
        .env("HOME", directory)
        .env("DOCKER_HOST", host)
        .output()
        .unwrap()
}

/// Runs with a daemon that answers so many connections.
fn with_daemon(connections: usize, cut: bool, words: &[&str]) -> Output {
    let directory = tempfile::tempdir().unwrap();
    let socket = directory.path().join("docker.sock");
    let listener = UnixListener::bind(&socket).unwrap();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let image = image();
            for stream in listener.incoming().take(connections) {
                answer(stream.unwrap(), &image, cut);
            }
        });
        skewer(
            directory.path(),
            &format!("unix://{}", socket.display()),
            words,
        )
    })
}

fn places(output: &Output) -> Vec<String> {
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let findings = report["findings"].as_array().unwrap().iter();
    let text = |value: &serde_json::Value| value.as_str().unwrap_or_default().to_owned();
    let names = findings.map(|one| {
        let steps = one["location"]["members"].as_array().unwrap().iter();
        let steps = steps.map(|step| format!(" → {} {}", text(&step["kind"]), text(&step["name"])));
        text(&one["location"]["name"]) + &steps.collect::<String>()
    });
    let mut names: Vec<_> = names.collect();
    names.sort();
    names
}

#[test]
fn an_image_is_read_from_the_daemon() {
    // Whether it is held in memory, or too large for it and read as a stream.
    for memory in ["256MiB", "1KiB"] {
        let words = ["--image", "app:1", "--max-memory", memory];
        let output = with_daemon(2, false, &words);
        let errors = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{memory}: {errors}");
        assert_eq!(
            places(&output),
            [
                "image app:1 → environment OPENAI_API_KEY",
                "image app:1 → layer 1 → file root/.env"
            ],
            "{memory}"
        );
        for seed in [1, 2] {
            assert!(!String::from_utf8_lossy(&output.stdout).contains(&key(seed)));
        }
    }
}

#[test]
fn a_stream_that_is_cut_is_a_failure() {
    let output = with_daemon(2, true, &["--image", "app:1"]);
    assert_eq!(
        output.status.code(),
        Some(3),
        "{}",
        String::from_utf8_lossy(&output.stdout)
    );
}

#[test]
fn what_goes_wrong_is_said() {
    let says = |output: &Output| {
        assert_eq!(output.status.code(), Some(2));
        String::from_utf8_lossy(&output.stderr).into_owned()
    };
    let missing = says(&with_daemon(1, false, &["--image", "other"]));
    assert!(
        missing.contains("no image other") && missing.contains("pull it"),
        "{missing}"
    );
    let refused = says(&with_daemon(1, false, &["--image", "broken"]));
    assert!(refused.contains("the daemon is out of order"), "{refused}");
    let directory = tempfile::tempdir().unwrap();
    let nobody = says(&skewer(
        directory.path(),
        "unix:///nowhere.sock",
        &["--image", "app:1"],
    ));
    assert!(nobody.contains("no docker or podman answers"), "{nobody}");
    let remote = says(&skewer(
        directory.path(),
        "tcp://127.0.0.1:1",
        &["--image", "app:1"],
    ));
    assert!(remote.contains("DOCKER_HOST"), "{remote}");
}

/// Writes a layout with one layer, and a configuration.
fn layout(top: &Path) {
    let blob = |n: u8| top.join(blob(n));
    let digest = |n: u8| format!(r#"{{"digest":"sha256:{}"}}"#, format!("{n:02x}").repeat(32));
    std::fs::create_dir_all(blob(1).parent().unwrap()).unwrap();
    std::fs::write(top.join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#).unwrap();
    let index = format!(r#"{{"manifests":[{}]}}"#, digest(0xaa));
    std::fs::write(top.join("index.json"), index).unwrap();
    let manifest = format!(r#"{{"config":{},"layers":[{}]}}"#, digest(0xcc), digest(1));
    std::fs::write(blob(0xaa), manifest).unwrap();
    let env = format!("OPENAI_API_KEY={}", key(2));
    let configuration =
        format!(r#"{{"config":{{"Env":["{env}"]}},"history":[{{"created_by":"ENV {env}"}}]}}"#);
    std::fs::write(blob(0xcc), configuration).unwrap();
    let layer = tar(&[(
        "root/.env".into(),
        format!("OPENAI_API_KEY={}\n", key(1)).into_bytes(),
    )]);
    std::fs::write(blob(1), layer).unwrap();
}

#[test]
fn a_layout_is_a_directory_with_layers_and_none_is_read_twice() {
    let directory = tempfile::tempdir().unwrap();
    layout(&directory.path().join("one"));
    layout(&directory.path().join("two"));
    let output = skewer(directory.path(), "", &["one", "two"]);
    assert_eq!(
        output.status.code(),
        Some(1),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let digest = |n: u8| blob(n);
    let mut expected = Vec::new();
    for top in ["one", "two"] {
        let configuration = format!("{top}/{}", digest(0xcc));
        expected.push(format!("{configuration} → environment OPENAI_API_KEY"));
        expected.push(format!("{configuration} → history 1"));
    }
    let mut places = places(&output);
    let layers: Vec<_> = places
        .iter()
        .filter(|place| place.contains("layer"))
        .cloned()
        .collect();
    places.retain(|place| !place.contains("layer"));
    assert_eq!(places, expected);
    assert_eq!(layers.len(), 1, "{layers:?}");
    assert!(layers[0].ends_with(&format!("{} → layer 1 → file root/.env", digest(1))));
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report["coverage"]["excluded"]["seen_before"]["items"], 1);
    assert_eq!(report["complete"], true);
}
