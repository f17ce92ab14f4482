//! A local OpenAI organisation: a stateful server on loopback with projects, keys, an audit log,
//! usage, and everything that goes wrong with them. Drills run on it, and the tests of whatever
//! talks to the API. It shares no types with the client: a mistake in one is not excused by the
//! other.
//!
//! ```
//! use skewer::sandbox::{Options, Sandbox};
//!
//! let sandbox = Sandbox::start(Options::default())?;
//! assert!(sandbox.url().starts_with("http://127.0.0.1:"));
//! # Ok::<(), std::io::Error>(())
//! ```

mod call;
mod clock;
mod control;
mod enter;
mod fault;
mod forms;
mod pages;
mod parts;
mod refusal;
mod routes;
mod script;
mod seed;
mod server;
mod settings;
#[cfg(test)]
mod tests;
mod wire;
mod world;

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::thread::JoinHandle;

use axum::extract::connect_info::IntoMakeServiceWithConnectInfo;
use tokio::sync::oneshot;

pub use self::clock::Clock;
pub use self::fault::{Fault, What};
pub use self::forms::Form;
pub use self::parts::{
    Event, Key, Member, ModelPermissions, NewKey, Organisation, Owner, Project, RateLimit, Seen,
    ServiceAccount, Use, User,
};
pub use self::script::{Script, ScriptError};
pub use self::seed::Shape;
use self::server::Shared;
pub use self::settings::{Generation, Settings};
use self::wire::Scissors;
pub use self::world::World;
use crate::secret::Secret;

/// What organisation to run, and where.
#[derive(Clone, Debug)]
pub struct Options {
    /// The same seed makes the same organisation.
    pub seed: u64,
    /// How large it is.
    pub shape: Shape,
    /// How it behaves.
    pub settings: Settings,
    /// What goes wrong.
    pub faults: Vec<Fault>,
    /// The port on 127.0.0.1; 0 for any that is free.
    pub port: u16,
    /// The clock that it lives by.
    pub clock: Clock,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            seed: 1,
            shape: Shape::default(),
            settings: Settings::default(),
            faults: Vec::new(),
            port: 0,
            clock: Clock::still(),
        }
    }
}

/// The server, see [`Sandbox::start`].
pub struct Sandbox;

impl Sandbox {
    /// Founds an organisation and serves it on 127.0.0.1, on a thread of its own, until the answer
    /// is dropped.
    ///
    /// # Errors
    ///
    /// The port is taken, or the machine gives no more threads or sockets.
    pub fn start(options: Options) -> io::Result<Running> {
        let world = seed::found(
            options.seed,
            &options.shape,
            options.clock,
            options.settings,
        );
        let shared = Shared::new(world);
        shared.lock().faults = options.faults;
        let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, options.port))?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let listener = {
            let _entered = runtime.enter();
            wire::Port(tokio::net::TcpListener::from_std(listener)?)
        };
        let router = server::router(shared.clone());
        let service: IntoMakeServiceWithConnectInfo<_, Scissors> =
            router.into_make_service_with_connect_info();
        let (stop, stopped) = oneshot::channel::<()>();
        let thread = std::thread::Builder::new()
            .name("sandbox".to_owned())
            .spawn(move || {
                runtime.block_on(async {
                tokio::select! {
                    // Neither a word nor a sender left: both mean the end. Connections that are open
                    // are closed with the runtime.
                    _ = stopped => {}
                    _ = std::future::IntoFuture::into_future(axum::serve(listener, service)) => {}
                }
            });
            })?;
        Ok(Running {
            address,
            shared,
            stop: Some(stop),
            thread: Some(thread),
        })
    }
}

/// A sandbox that runs. It stops when this is dropped.
pub struct Running {
    address: SocketAddr,
    shared: Shared,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Running {
    /// The base of the API, with `/v1`: what `OPENAI_BASE_URL` takes.
    pub fn url(&self) -> String {
        format!("http://{}/v1", self.address)
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The base of the control endpoint.
    pub fn control(&self) -> String {
        format!("http://{}/_sandbox", self.address)
    }

    /// An admin key that may do everything.
    pub fn admin_key(&self) -> Secret {
        self.with(|world| world.keys[0].value.clone())
    }

    /// Its clock: move it as you like.
    pub fn clock(&self) -> Clock {
        self.with(|world| world.clock().clone())
    }

    /// Looks at the organisation, or changes it. No request is served meanwhile.
    pub fn with<T>(&self, look: impl FnOnce(&mut World) -> T) -> T {
        look(&mut self.shared.lock())
    }

    /// Adds a fault.
    pub fn fault(&self, fault: Fault) {
        self.with(|world| world.faults.push(fault));
    }

    /// Takes all faults away.
    pub fn heal(&self) {
        self.with(|world| world.faults.clear());
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // A server that panicked has said so on its own.
            let _ = thread.join();
        }
    }
}
