//! The kernel's lists and trees, walked with suspicion.
//!
//! Facts: include/linux/{types.h,list.h,rbtree_types.h}. A dump is taken from a machine in the middle of
//! something, perhaps of corrupting its memory: a walk ends at the first pointer that cannot be read,
//! at a circle, and after a number of nodes that the caller sets. Offsets inside `list_head` and
//! `rb_node` are the two built-in ones: next/first pointers at 0 and 8, the same since 2.6.

use super::{Kernel, KernelError};
use crate::addr::VirtAddr;

/// The offsets of rb_right and rb_left in `struct rb_node` (after __rb_parent_color).
const RB_RIGHT: u64 = 8;
const RB_LEFT: u64 = 16;

/// A walk over a `list_head`; answers the containers.
pub struct List<'a> {
    kernel: &'a Kernel,
    head: VirtAddr,
    at: VirtAddr,
    offset: u64,
    left: u64,
    /// Brent's algorithm: the node compared with, and when it is next replaced.
    anchor: VirtAddr,
    steps: u64,
    power: u64,
    done: bool,
    /// 0 to follow `next`, 8 to follow `prev`.
    link: u64,
    what: &'static str,
}

impl Kernel {
    /// Walks the list whose head is at `head`; each node is `offset` bytes inside its container.
    /// Ends with an error after `limit` nodes. `what` names the list in errors.
    #[must_use]
    pub fn list(&self, head: VirtAddr, offset: u64, limit: u64, what: &'static str) -> List<'_> {
        List {
            kernel: self,
            head,
            at: head,
            offset,
            left: limit,
            anchor: head,
            steps: 0,
            power: 1,
            done: false,
            link: 0,
            what,
        }
    }

    /// The same list from its end backwards: what a break hides from one side shows from the other.
    #[must_use]
    pub fn list_back(
        &self,
        head: VirtAddr,
        offset: u64,
        limit: u64,
        what: &'static str,
    ) -> List<'_> {
        List {
            link: 8,
            ..self.list(head, offset, limit, what)
        }
    }

    /// Walks a red-black tree in order; each node is `offset` bytes inside its container. Ends with
    /// an error after `limit` nodes.
    #[must_use]
    pub fn tree(&self, root: VirtAddr, offset: u64, limit: u64, what: &'static str) -> Tree<'_> {
        Tree {
            kernel: self,
            path: Vec::new(),
            next: Some(root),
            root: true,
            offset,
            left: limit,
            what,
        }
    }
}

impl List<'_> {
    fn advance(&mut self) -> Result<Option<VirtAddr>, KernelError> {
        let what = self.what;
        let next = self
            .kernel
            .read_ptr(self.at.wrapping_add(self.link))
            .map_err(KernelError::reading(what))?;
        if next == self.head {
            return Ok(None);
        }
        let corrupt = |why: String| KernelError::Corrupt {
            what: "A list",
            why: format!("{what}: {why}"),
        };
        if next.0 == 0 {
            return Err(corrupt(format!("the node at {} leads nowhere", self.at)));
        }
        if next == self.anchor {
            return Err(corrupt(format!("it runs in a circle at {next}")));
        }
        self.steps += 1;
        if self.steps == self.power {
            self.anchor = next;
            self.steps = 0;
            self.power = self.power.saturating_mul(2);
        }
        self.left = self
            .left
            .checked_sub(1)
            .ok_or_else(|| corrupt("it has more nodes than can be".to_owned()))?;
        self.at = next;
        Ok(Some(VirtAddr(next.0.wrapping_sub(self.offset))))
    }
}

impl Iterator for List<'_> {
    type Item = Result<VirtAddr, KernelError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.done {
            return None;
        }
        let item = self.advance().transpose();
        self.done = !matches!(item, Some(Ok(_)));
        item
    }
}

/// A walk over a red-black tree; answers the containers in order.
pub struct Tree<'a> {
    kernel: &'a Kernel,
    path: Vec<VirtAddr>,
    next: Option<VirtAddr>,
    /// `next` is the `rb_root` still.
    root: bool,
    offset: u64,
    left: u64,
    what: &'static str,
}

/// A red-black tree of 2^40 nodes is no deeper.
const MAX_DEPTH: usize = 80;

impl Tree<'_> {
    fn advance(&mut self) -> Result<Option<VirtAddr>, KernelError> {
        let what = self.what;
        let corrupt = |why: &str| KernelError::Corrupt {
            what: "A tree",
            why: format!("{what}: {why}"),
        };
        let read = |at: VirtAddr| self.kernel.read_ptr(at).map_err(KernelError::reading(what));
        let mut down = match self.next.take() {
            Some(root) if self.root => {
                self.root = false;
                read(root)?
            }
            Some(node) => node,
            None => VirtAddr(0),
        };
        while down.0 != 0 {
            if self.path.len() >= MAX_DEPTH {
                return Err(corrupt("it is too deep to be one"));
            }
            self.path.push(down);
            down = read(down.wrapping_add(RB_LEFT))?;
        }
        let Some(node) = self.path.pop() else {
            return Ok(None);
        };
        self.next = Some(read(node.wrapping_add(RB_RIGHT))?);
        self.left = self
            .left
            .checked_sub(1)
            .ok_or_else(|| corrupt("it has more nodes than can be"))?;
        Ok(Some(VirtAddr(node.0.wrapping_sub(self.offset))))
    }
}

impl Iterator for Tree<'_> {
    type Item = Result<VirtAddr, KernelError>;

    fn next(&mut self) -> Option<Self::Item> {
        let item = self.advance().transpose();
        if matches!(item, Some(Err(_))) {
            self.next = None;
            self.path.clear();
        }
        item
    }
}

#[cfg(test)]
mod tests;
