//! A real OpenBao for the drill: in memory, on loopback, ended with it.

use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};

use crate::cli::error::Hint;
use crate::config::{File, Section, Surroundings};
use crate::http::{self, Address, Client, Method, Request};
use crate::secret::Secret;
use crate::store::{self, Outside, Store};

/// It takes half a second; a busy machine takes longer.
const PATIENCE: Duration = Duration::from_secs(20);

/// The server. It ends when it is dropped.
pub(super) struct OpenBao {
    child: Child,
    address: String,
    token: Secret,
}

impl Drop for OpenBao {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl OpenBao {
    /// Starts `program`; `home` is where it may write, and `token` lets whoever has it in.
    pub(super) fn start(program: &Path, home: &Path, token: String) -> anyhow::Result<Self> {
        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let child = Command::new(program)
            .args(["server", "-dev", "-dev-no-store-token"])
            .arg(format!("-dev-listen-address=127.0.0.1:{port}"))
            .env("BAO_DEV_ROOT_TOKEN_ID", &token)
            .env("HOME", home)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .with_context(|| format!("can't start {}", program.display()))
            .hint("install OpenBao, or name its program: `--bao PROGRAM`")?;
        let mut bao = Self {
            child,
            address: format!("http://127.0.0.1:{port}"),
            token: Secret::new(token.into_bytes()),
        };
        let begun = Instant::now();
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            if let Some(status) = bao.child.try_wait()? {
                bail!("{} did not stay: {status}", program.display());
            }
            if begun.elapsed() > PATIENCE {
                bail!("{} does not listen", program.display());
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        Ok(bao)
    }

    /// A store that hands out this key.
    pub(super) fn store(&self, key: &Secret) -> anyhow::Result<Arc<dyn Store>> {
        let text = std::str::from_utf8(key.expose()).context("a key is text")?;
        let body = serde_json::json!({ "data": { "api_key": text } }).to_string();
        let address = Address::parse(&format!("{}/v1/secret/data/drill", self.address))?;
        let client = Client::new(http::Settings::default())?;
        let begun = Instant::now();
        loop {
            let request = Request::new(Method::Post, address.clone())
                .secret_header("x-vault-token", "", &self.token)
                .body("application/json", Secret::new(body.clone().into_bytes()));
            // The engine comes a moment after the server.
            match client.send(request) {
                Ok(answer) if answer.status < 300 => break,
                Ok(answer) if begun.elapsed() > PATIENCE => {
                    bail!("OpenBao takes no key: status {}", answer.status)
                }
                Err(error) if begun.elapsed() > PATIENCE => return Err(error.into()),
                _ => std::thread::sleep(Duration::from_millis(50)),
            }
        }
        let section = Section::whole(File {
            name: "drill".to_owned(),
            base: std::path::PathBuf::new(),
            text: format!(
                "kind = 'vault'\naddress = '{}'\nmount = 'secret'\npath = 'drill'\nfield = 'api_key'\nauth = {{ token = {{ env = 'TOKEN' }} }}",
                self.address
            ),
            trusted: true,
        });
        let outside = Outside {
            surroundings: Surroundings {
                variable: &|_| Some(self.token.clone()),
            },
            http: &http::Settings::default(),
            now: jiff::Timestamp::now,
        };
        Ok(Arc::from(store::open(&section, &outside)?))
    }
}
