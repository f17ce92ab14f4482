//! The index's TREE extension: for each directory whose entries are as they were when a tree was
//! last written or read, that tree's id and how many entries it covers.

use std::collections::HashMap;

use super::index::{IndexError, Result};
use super::{ObjectFormat, ObjectId};

struct Node<'a> {
    name: &'a [u8],
    /// Entries below and the tree's id; `None` once something below has changed.
    valid: Option<(usize, ObjectId)>,
    /// The first node that is not below this one.
    end: usize,
}

/// The nodes in the file's order: parents first, a node's whole subtree before its sibling.
pub(super) struct CacheTree<'a> {
    nodes: Vec<Node<'a>>,
}

/// A directory in the cache tree.
#[derive(Clone, Copy)]
pub(super) struct NodeId(usize);

impl<'a> CacheTree<'a> {
    pub(super) fn parse(mut body: &'a [u8], format: ObjectFormat) -> Result<Self> {
        const DAMAGED: IndexError = IndexError::Damaged("the TREE extension");
        let mut nodes: Vec<Node<'a>> = Vec::new();
        // Directories that still wait for children: which node, how many.
        let mut open: Vec<(usize, usize)> = Vec::new();
        loop {
            let name_end = memchr::memchr(0, body).ok_or(DAMAGED)?;
            let name = &body[..name_end];
            body = &body[name_end + 1..];
            let line_end = memchr::memchr(b'\n', body).ok_or(DAMAGED)?;
            let line = std::str::from_utf8(&body[..line_end]).map_err(|_| DAMAGED)?;
            body = &body[line_end + 1..];
            let (covered, children) = line.split_once(' ').ok_or(DAMAGED)?;
            let covered: i64 = covered.parse().map_err(|_| DAMAGED)?;
            let children: usize = children.parse().map_err(|_| DAMAGED)?;
            let valid = match usize::try_from(covered) {
                Err(_) => None,
                Ok(covered) => {
                    let id = body.get(..format.bytes()).ok_or(DAMAGED)?;
                    body = &body[format.bytes()..];
                    Some((covered, ObjectId::from_bytes(id).ok_or(DAMAGED)?))
                }
            };
            let this = nodes.len();
            nodes.push(Node {
                name,
                valid,
                end: this + 1,
            });
            open.push((this, children));
            while let Some((node, 0)) = open.last().copied() {
                open.pop();
                nodes[node].end = nodes.len();
                if let Some((_, left)) = open.last_mut() {
                    *left -= 1;
                }
            }
            if open.is_empty() {
                break;
            }
        }
        if !body.is_empty() || !nodes[0].name.is_empty() {
            return Err(DAMAGED);
        }
        Ok(Self { nodes })
    }

    pub(super) fn root(&self) -> NodeId {
        NodeId(0)
    }

    /// Entries below and the tree's id, if the directory is unchanged.
    pub(super) fn valid(&self, node: NodeId) -> Option<(usize, ObjectId)> {
        self.nodes[node.0].valid
    }

    /// The directories right below, by name.
    pub(super) fn children(&self, node: NodeId) -> HashMap<&'a [u8], NodeId> {
        let mut children = HashMap::new();
        let mut child = node.0 + 1;
        while child < self.nodes[node.0].end {
            children.insert(self.nodes[child].name, NodeId(child));
            child = self.nodes[child].end;
        }
        children
    }
}
