//! An image that is a stream: its files get their roles' names as soon as a manifest was met. Who
//! makes the stream can put one in front.

use std::io::Read;
use std::ops::Range;

use super::index::{MOST, plain};
use super::roles::{Role, Roles, saved};
use super::{FIRST, configuration, identity};
use crate::coverage::Unread;
use crate::unpack::{Body, Damage, EachMember, Members, Reservation, Step, Stop};

pub(super) struct Renamed<'a> {
    out: &'a mut dyn Members,
    roles: Roles,
}

impl<'a> Renamed<'a> {
    pub(super) fn new(out: &'a mut dyn Members) -> Self {
        Self {
            out,
            roles: Roles::new(),
        }
    }

    fn role(&self, path: &[u8]) -> Option<&Role> {
        self.roles.get(&plain(path.to_vec()))
    }
}

impl Members for Renamed<'_> {
    fn member(&mut self, step: Step<'_>, mut body: Body<'_>) -> Result<(), Stop> {
        let role = self.role(&step.name).cloned();
        let size = match &body {
            Body::Bytes(bytes) => bytes.len() as u64,
            Body::Stream(_, size) => size.unwrap_or(0),
        };
        let is_manifest = plain(step.name.to_vec()) == b"manifest.json";
        let most = match role {
            Some(Role::Layer(_)) => FIRST as u64,
            _ if size > MOST => return self.out.member(step, body),
            Some(Role::Configuration(_)) => MOST,
            None if is_manifest => MOST,
            None => return self.out.member(step, body),
        };
        let mut first = Vec::new();
        match &mut body {
            Body::Bytes(bytes) => {
                let most = bytes.len().min(most as usize);
                first.extend_from_slice(&bytes[..most]);
            }
            Body::Stream(stream, _) => {
                // An error comes again.
                let _ = stream.take(most).read_to_end(&mut first);
            }
        }
        if is_manifest {
            self.roles.extend(saved(&first));
        }
        let step = match &role {
            Some(Role::Configuration(_)) => {
                let step = role.map_or(step, |role| role.step());
                return configuration::unpack(step, &first, self.out);
            }
            Some(role) => {
                if let Some(layer) = identity(&step.name, size, &first)
                    && self.out.seen(layer, size)
                {
                    return Ok(());
                }
                role.step()
            }
            None => step,
        };
        match body {
            Body::Bytes(_) => self.out.member(step, body),
            Body::Stream(stream, size) => self
                .out
                .member(step, Body::Stream(&mut (&first[..]).chain(stream), size)),
        }
    }

    fn unread(&mut self, step: Step<'_>, why: Unread) {
        self.out.unread(step, why);
    }

    fn text(&mut self, step: Step<'_>, bytes: &[u8]) {
        self.out.text(step, bytes);
    }

    fn raw(&mut self, offset: u64, bytes: &mut dyn Read) -> Result<(), Stop> {
        self.out.raw(offset, bytes)
    }

    fn covers(&mut self, range: Range<u64>) {
        self.out.covers(range);
    }

    fn reserve(&mut self, bytes: u64) -> Option<Reservation> {
        self.out.reserve(bytes)
    }

    fn seen(&mut self, identity: [u8; 32], bytes: u64) -> bool {
        self.out.seen(identity, bytes)
    }

    fn each(&mut self, count: usize, one: &EachMember<'_>) -> Result<(), Damage> {
        self.out.each(count, one)
    }
}
