//! For tests: a real kube-apiserver with etcd and the controllers of workloads, on loopback. There
//! is no node: a test binds pods, says that they are ready, and lets them go.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::{Value, json};

use crate::config::Surroundings;
use crate::http::{Address, Client, Method, Request, Settings, roots_from_pem};
use crate::secret::Secret;

/// Ends when it is dropped.
pub(crate) struct Real {
    children: Vec<Child>,
    directory: tempfile::TempDir,
    client: Client,
    address: Address,
}

fn certificates() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src/http/tests")
}

fn free_port() -> u16 {
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    free.local_addr().unwrap().port()
}

/// What tests give to stores and rollouts: the token of whoever has the least rights.
pub(crate) fn surroundings<T>(work: impl FnOnce(Surroundings<'_>) -> T) -> T {
    let variable = |_: &str| Some(Secret::new(b"rotator".to_vec()));
    work(Surroundings {
        variable: &variable,
    })
}

impl Real {
    /// `None`, loudly, where there is none: `tests/cluster/run` builds one.
    pub(crate) fn start() -> Option<Self> {
        let Some(programs) = std::env::var_os("SKEWER_TEST_KUBE").map(PathBuf::from) else {
            eprintln!(
                "SKIPPED: no kube-apiserver here; SKEWER_TEST_KUBE names the directory with its program (see tests/cluster)"
            );
            return None;
        };
        let directory = tempfile::tempdir().unwrap();
        let home = directory.path();
        let (etcd, peer, port) = (free_port(), free_port(), free_port());
        let address = format!("https://127.0.0.1:{port}");
        let tokens = "admin,admin,1,\"system:masters\"\nrotator,rotator,2\nnobody,nobody,3\n";
        std::fs::write(home.join("tokens"), tokens).unwrap();
        let ca = certificates().join("root.pem");
        let kubeconfig = json!({
            "apiVersion": "v1", "kind": "Config", "current-context": "c",
            "clusters": [{ "name": "c", "cluster": { "server": address, "certificate-authority": ca } }],
            "users": [{ "name": "c", "user": { "token": "admin" } }],
            "contexts": [{ "name": "c", "context": { "cluster": "c", "user": "c" } }],
        });
        std::fs::write(home.join("kubeconfig"), kubeconfig.to_string()).unwrap();
        let settings = Settings {
            roots: roots_from_pem(&std::fs::read(&ca).unwrap()).unwrap(),
            ..Settings::default()
        };
        let mut real = Self {
            client: Client::new(settings).unwrap(),
            address: Address::parse(&address).unwrap(),
            children: Vec::new(),
            directory,
        };
        let (of_etcd, of_peer) = (
            format!("http://127.0.0.1:{etcd}"),
            format!("http://127.0.0.1:{peer}"),
        );
        real.run(
            &programs.join("etcd"),
            &[
                "--data-dir=etcd".to_owned(),
                format!("--listen-client-urls={of_etcd}"),
                format!("--advertise-client-urls={of_etcd}"),
                format!("--listen-peer-urls={of_peer}"),
                format!("--initial-advertise-peer-urls={of_peer}"),
                format!("--initial-cluster=default={of_peer}"),
                "--unsafe-no-fsync".to_owned(),
            ],
        );
        let key = certificates().join("leaf.pem").display().to_string();
        // What accounts of services sign with; it reads no other form.
        let made = Command::new("openssl")
            .args(["genrsa", "-traditional", "-out", "accounts.pem", "2048"])
            .current_dir(real.directory.path())
            .stderr(Stdio::null())
            .status();
        assert!(made.unwrap().success(), "openssl makes a key");
        real.run(
            &programs.join("kube-apiserver"),
            &[
                format!("--etcd-servers={of_etcd}"),
                "--bind-address=127.0.0.1".to_owned(),
                format!("--secure-port={port}"),
                format!(
                    "--tls-cert-file={}",
                    certificates().join("good.pem").display()
                ),
                format!("--tls-private-key-file={key}"),
                "--cert-dir=certificates".to_owned(),
                "--token-auth-file=tokens".to_owned(),
                "--authorization-mode=RBAC".to_owned(),
                "--service-account-key-file=accounts.pem".to_owned(),
                "--service-account-signing-key-file=accounts.pem".to_owned(),
                "--service-account-issuer=https://kubernetes.default.svc".to_owned(),
                "--disable-admission-plugins=ServiceAccount".to_owned(),
                "--service-cluster-ip-range=10.0.0.0/24".to_owned(),
            ],
        );
        real.until("the API server is ready", || {
            let request = Request::new(Method::Get, real.address.join(["readyz"]));
            real.client
                .send(request.header("authorization", "Bearer admin"))
                .is_ok_and(|answer| answer.status == 200)
        });
        real.run(
            &programs.join("kube-controller-manager"),
            &[
                "--kubeconfig=kubeconfig".to_owned(),
                "--controllers=deployment,replicaset,statefulset,daemonset".to_owned(),
                "--leader-elect=false".to_owned(),
                "--port=0".to_owned(),
                "--secure-port=0".to_owned(),
            ],
        );
        real.call(
            Method::Post,
            "api/v1/namespaces",
            &json!({ "metadata": { "name": "prod" } }),
        );
        Some(real)
    }

    fn run(&mut self, program: &Path, arguments: &[String]) {
        let name = program.file_name().unwrap().to_string_lossy().into_owned();
        let log = std::fs::File::create(self.directory.path().join(format!("{name}.log"))).unwrap();
        let child = Command::new(program)
            .args(arguments)
            .current_dir(self.directory.path())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn();
        self.children.push(child.unwrap());
    }

    /// Waits until something holds.
    pub(crate) fn until(&self, what: &str, mut holds: impl FnMut() -> bool) {
        for _ in 0..600 {
            if holds() {
                return;
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        panic!("not within a minute: {what}");
    }

    /// Does something as the administrator.
    pub(crate) fn call(&self, method: Method, path: &str, body: &Value) -> Value {
        let mut request = Request::new(method, self.address.join(path.split('/')))
            .header("authorization", "Bearer admin");
        if method != Method::Get {
            let kind = match method {
                Method::Patch => "application/strategic-merge-patch+json",
                _ => "application/json",
            };
            request = request.body(kind, Secret::new(body.to_string().into_bytes()));
        }
        let answer = self.client.send(request).unwrap();
        let text = String::from_utf8_lossy(&answer.body);
        assert!(answer.status < 300, "{method} {path}: {text}");
        serde_json::from_str(&text).unwrap()
    }

    /// Lets `rotator` do what these rules say, in namespace `prod`.
    pub(crate) fn grant(&self, name: &str, rules: &Value) {
        let of = "apis/rbac.authorization.k8s.io/v1/namespaces/prod";
        let metadata = json!({ "name": name });
        let role = json!({ "metadata": metadata, "rules": rules });
        self.call(Method::Post, &format!("{of}/roles"), &role);
        let binding = json!({
            "metadata": metadata,
            "subjects": [{ "kind": "User", "name": "rotator", "apiGroup": "rbac.authorization.k8s.io" }],
            "roleRef": { "kind": "Role", "name": name, "apiGroup": "rbac.authorization.k8s.io" },
        });
        self.call(Method::Post, &format!("{of}/rolebindings"), &binding);
    }

    /// The settings with which a section reaches it.
    pub(crate) fn settings(&self) -> String {
        format!(
            "address = '{}'\nca = '{}'\nnamespace = 'prod'\ntoken = {{ env = 'T' }}\n",
            self.address.to_string().trim_end_matches('/'),
            certificates().join("root.pem").display()
        )
    }

    pub(crate) fn pods(&self) -> Vec<Value> {
        let pods = self.call(Method::Get, "api/v1/namespaces/prod/pods", &Value::Null);
        pods["items"].as_array().unwrap().clone()
    }

    /// What kubelets would do for pods that are to run.
    pub(crate) fn serve_pods(&self) {
        for pod in self.pods() {
            let name = pod["metadata"]["name"].as_str().unwrap();
            let path = format!("api/v1/namespaces/prod/pods/{name}");
            if !pod["metadata"]["deletionTimestamp"].is_null() {
                continue;
            }
            if pod["spec"]["nodeName"].is_null() {
                let binding = json!({
                    "apiVersion": "v1", "kind": "Binding", "metadata": { "name": name },
                    "target": { "kind": "Node", "name": "a-node" },
                });
                self.call(Method::Post, &format!("{path}/binding"), &binding);
            }
            let ready = json!({ "status": {
                "phase": "Running", "conditions": [{ "type": "Ready", "status": "True" }],
            } });
            self.call(Method::Patch, &format!("{path}/status"), &ready);
        }
    }

    /// The processes of pods that are to go have ended.
    pub(crate) fn let_pods_go(&self) {
        for pod in self.pods() {
            if !pod["metadata"]["deletionTimestamp"].is_null() {
                let name = pod["metadata"]["name"].as_str().unwrap();
                let path = format!("api/v1/namespaces/prod/pods/{name}");
                self.call(Method::Delete, &path, &json!({ "gracePeriodSeconds": 0 }));
            }
        }
    }
}

impl Drop for Real {
    fn drop(&mut self) {
        for child in self.children.iter_mut().rev() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}
