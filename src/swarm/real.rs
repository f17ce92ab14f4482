//! For tests: a real dockerd in namespaces of its own, which reach nothing, and end with it.

use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::{Value, json};

use crate::http::{Address, Answer, Client, Method, Request, Settings};
use crate::secret::Secret;

/// Ends when it is dropped.
pub(crate) struct Dockerd {
    child: Child,
    directory: tempfile::TempDir,
    client: Client,
}

/// What is run in the namespaces.
const SCRIPT: &str = "ip link set lo up && exec dockerd --iptables=false --bridge=none --storage-driver=vfs \
    --data-root \"$1/data\" --exec-root \"$1/exec\" --pidfile \"$1/pid\" --host \"unix://$1/docker.sock\" >\"$1/log\" 2>&1";

impl Dockerd {
    /// A manager of a Swarm of one node, with an image `tiny:1`. `None`, loudly, where there is no
    /// dockerd; `.ci/run` brings one.
    pub(crate) fn start() -> Option<Self> {
        let Some(root) = std::env::var_os("SKEWER_TEST_DOCKERD").map(PathBuf::from) else {
            eprintln!(
                "SKIPPED: no dockerd here; SKEWER_TEST_DOCKERD names the directory that Debian's packages were unpacked in (see .ci/run)"
            );
            return None;
        };
        let directory = tempfile::tempdir().unwrap();
        let at = |name: &str| directory.path().join(name);
        let programs = format!("{0}/usr/sbin:{0}/usr/bin", root.display());
        let path = std::env::var("PATH").unwrap();
        let child = Command::new("unshare")
            .args(["--net", "--pid", "--fork", "--mount-proc", "--kill-child"])
            .args(["sh", "-c", SCRIPT, "sh"])
            .arg(directory.path())
            .env("PATH", format!("{programs}:{path}"))
            .env("LD_LIBRARY_PATH", root.join("lib/x86_64-linux-gnu"))
            // Nobody is asked for an image that is here.
            .env("DOCKER_SERVICE_PREFER_OFFLINE_IMAGE", "1")
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let settings = Settings {
            socket: Some(at("docker.sock")),
            ..Settings::default()
        };
        let engine = Self {
            client: Client::new(settings).unwrap(),
            child,
            directory,
        };
        for _ in 0..600 {
            if engine
                .send(Method::Get, "_ping", None)
                .is_some_and(|answer| answer.status == 200)
            {
                engine.found(&root);
                return Some(engine);
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        let log = std::fs::read_to_string(engine.directory.path().join("log"));
        panic!("dockerd did not start within 30 s: {log:?}");
    }

    /// Makes a Swarm, and an image of busybox alone.
    fn found(&self, root: &std::path::Path) {
        let image = self.directory.path().join("image");
        std::fs::create_dir_all(image.join("bin")).unwrap();
        std::fs::copy(root.join("bin/busybox"), image.join("bin/busybox")).unwrap();
        for name in ["sleep", "cat"] {
            std::os::unix::fs::symlink("busybox", image.join("bin").join(name)).unwrap();
        }
        let packed = Command::new("tar")
            .arg("-C")
            .arg(&image)
            .args(["-c", "."])
            .output()
            .unwrap();
        assert!(packed.status.success());
        let address = Address::parse("http://localhost/images/create").unwrap();
        let address = address
            .query("fromSrc", "-")
            .query("repo", "tiny")
            .query("tag", "1");
        let request = Request::new(Method::Post, address);
        let request = request.body("application/x-tar", Secret::new(packed.stdout));
        assert_eq!(self.client.send(request).unwrap().status, 200);
        let listen = json!({ "ListenAddr": "127.0.0.1:2377", "AdvertiseAddr": "127.0.0.1" });
        self.post("swarm/init", &listen);
    }

    fn send(&self, method: Method, path: &str, body: Option<&Value>) -> Option<Answer> {
        let address = Address::parse("http://localhost")
            .unwrap()
            .join(path.split('/'));
        let mut request = Request::new(method, address);
        if let Some(body) = body {
            let body = Secret::new(body.to_string().into_bytes());
            request = request.body("application/json", body);
        }
        self.client.send(request).ok()
    }

    /// Posts something; the answer as JSON.
    pub(crate) fn post(&self, path: &str, body: &Value) -> Value {
        let answer = self.send(Method::Post, path, Some(body)).unwrap();
        let text = String::from_utf8_lossy(&answer.body);
        assert!(answer.status < 300, "{path}: {text}");
        serde_json::from_str(&text).unwrap_or_default()
    }

    fn get(&self, path: &str) -> Value {
        let answer = self.send(Method::Get, path, None).unwrap();
        serde_json::from_slice(&answer.body).unwrap()
    }

    pub(crate) fn address(&self) -> String {
        format!(
            "unix://{}",
            self.directory.path().join("docker.sock").display()
        )
    }

    /// Waits until so many tasks run.
    pub(crate) fn until_running(&self, wanted: usize) {
        for _ in 0..300 {
            let tasks = self.get("tasks");
            let states = tasks
                .as_array()
                .unwrap()
                .iter()
                .map(|task| &task["Status"]["State"]);
            if states.filter(|state| *state == "running").count() == wanted {
                return;
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        panic!("not running within 30 s: {}", self.get("tasks"));
    }

    /// What every container that runs finds in a file.
    pub(crate) fn read_in_containers(&self, path: &str) -> Vec<Vec<u8>> {
        let containers = self.get("containers/json");
        let read = |one: &Value| {
            let id = one["Id"].as_str().unwrap();
            let exec = json!({ "AttachStdout": true, "Tty": true, "Cmd": ["/bin/cat", path] });
            let exec = self.post(&format!("containers/{id}/exec"), &exec);
            let start = format!("exec/{}/start", exec["Id"].as_str().unwrap());
            let answer = self.send(Method::Post, &start, Some(&json!({ "Tty": true })));
            answer.unwrap().body.to_vec()
        };
        containers.as_array().unwrap().iter().map(read).collect()
    }
}

impl Drop for Dockerd {
    fn drop(&mut self) {
        // What it started ends with the first process of its namespace.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
