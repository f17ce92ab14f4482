//! OCI layouts that are directories: their blobs are files of their own, and only the layout's index
//! says what each of them is.

use std::io::Read;

use super::index::MOST;
use super::roles::{Role, Roles, roles};
use super::{FIRST, configuration, identity};
use crate::unpack::{Body, Damage, Format, Input, Members};

/// What a layout's indexes say.
#[derive(Debug, Default)]
pub struct Layout(Roles);

impl Layout {
    /// Follows the indexes. `read` gives the content of a file by its path in the layout, if it is
    /// there and not too large to be an index.
    pub fn read(read: &dyn Fn(&str) -> Option<Vec<u8>>) -> Self {
        Self(roles(read))
    }

    /// How the file of this path is to be read, if it is a layer or a configuration.
    pub fn blob(&self, path: &str) -> Option<Blob> {
        let role = self.0.get(path.as_bytes())?.clone();
        let path = path.as_bytes().to_owned();
        Some(Blob { path, role })
    }
}

/// A layer or a configuration: a container of one member, which no bytes tell.
#[derive(Debug)]
pub struct Blob {
    path: Vec<u8>,
    role: Role,
}

impl Format for Blob {
    fn name(&self) -> &'static str {
        "image"
    }

    fn recognises(&self, _head: &[u8], _name: &[u8]) -> bool {
        false
    }

    fn unpack(&self, input: Input<'_>, out: &mut dyn Members) -> Result<(), Damage> {
        let Input::Random(file) = input else {
            return Err(Damage::TooLarge);
        };
        let size = file.size();
        let mut all = file.section(0..size);
        match self.role {
            Role::Configuration(_) if size <= MOST => {
                let mut bytes = Vec::new();
                all.read_to_end(&mut bytes)?;
                return Ok(configuration::unpack(self.role.step(), &bytes, out)?);
            }
            Role::Configuration(_) => {}
            Role::Layer(_) => {
                let mut first = vec![0; FIRST];
                let read = file.read_full(&mut first, 0)?;
                first.truncate(read);
                if let Some(layer) = identity(&self.path, size, &first)
                    && out.seen(layer, size)
                {
                    return Ok(());
                }
            }
        }
        out.member(self.role.step(), Body::Stream(&mut all, Some(size)))?;
        Ok(())
    }
}
