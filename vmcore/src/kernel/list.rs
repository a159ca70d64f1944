//! The kernel's lists and trees, walked with suspicion.
//!
//! Facts: include/linux/{types.h,list.h,rbtree_types.h}. A dump is taken from a machine in the middle of
//! something, perhaps of corrupting its memory: a walk ends at the first pointer that cannot be read,
//! at a circle, and after a number of nodes that the caller sets. Offsets inside `list_head` and
//! `rb_node` are the two built-in ones: next/first pointers at 0 and 8, the same since 2.6.

use super::{Kernel, KernelError};
use crate::addr::VirtAddr;

/// Where rb_right and rb_left stand in `struct rb_node` (after __rb_parent_color).
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
mod tests {
    use crate::addr::VirtAddr;
    use crate::kernel::{Kernel, toy};
    use synth::ram::Ram;

    const HEAD: u64 = 0xffff_ffff_8100_0000;

    fn node(n: u64) -> u64 {
        HEAD + 0x100 * (n + 1)
    }

    fn walk(kernel: &Kernel, limit: u64) -> (Vec<u64>, Option<String>) {
        let mut found = Vec::new();
        for item in kernel.list(VirtAddr(HEAD), 0x10, limit, "the test") {
            match item {
                Ok(at) => found.push(at.0),
                Err(why) => return (found, Some(why.to_string())),
            }
        }
        (found, None)
    }

    #[test]
    fn a_list_is_walked_backwards_up_to_the_break() {
        let mut ram = Ram::new(4, 0);
        ram.put_image64(HEAD + 8, node(2));
        ram.put_image64(node(2) + 8, node(1));
        ram.put_image64(node(1) + 8, 0);
        let kernel = toy::kernel(&ram);
        let found: Vec<_> = kernel
            .list_back(VirtAddr(HEAD), 0, 10, "the test")
            .map(|at| at.map(|at| at.0).ok())
            .collect();
        assert_eq!(found, [Some(node(2)), Some(node(1)), None]);
    }

    fn linked(links: &[u64]) -> Kernel {
        let mut ram = Ram::new(4, 0);
        for (i, to) in links.iter().enumerate() {
            let from = if i == 0 { HEAD } else { node(i as u64 - 1) };
            ram.put_image64(from, *to);
        }
        toy::kernel(&ram)
    }

    #[test]
    fn a_list_answers_its_containers() {
        let kernel = linked(&[node(0), node(1), node(2), HEAD]);
        let (found, trouble) = walk(&kernel, 10);
        assert_eq!(found, [node(0) - 16, node(1) - 16, node(2) - 16]);
        assert_eq!(trouble, None);
        assert_eq!(walk(&linked(&[HEAD]), 10), (vec![], None));
    }

    #[test]
    fn circles_dead_ends_and_endless_lists_are_told() {
        // From the third back to the second.
        let (found, trouble) = walk(&linked(&[node(0), node(1), node(2), node(1)]), 1000);
        assert!(found.len() < 16 && trouble.unwrap().contains("corrupt"));
        let (found, trouble) = walk(&linked(&[node(0), 0]), 10);
        assert!(found.len() == 1 && trouble.is_some());
        let (found, trouble) = walk(&linked(&[node(0), node(1), node(2), HEAD]), 2);
        assert!(found.len() == 2 && trouble.is_some());
        let (_, trouble) = walk(&linked(&[node(0), 0x1234_5000]), 10);
        assert_eq!(trouble.unwrap(), "Cannot read the test");
    }

    #[test]
    fn a_tree_is_walked_in_order_and_a_knot_is_told() {
        let mut ram = Ram::new(4, 0);
        let mut put = |at: u64, right: u64, left: u64| {
            ram.put_image64(at + 8, right);
            ram.put_image64(at + 16, left);
        };
        put(node(1), node(2), node(0));
        put(node(0), 0, 0);
        put(node(2), 0, 0);
        ram.put_image64(HEAD, node(1));
        let kernel = toy::kernel(&ram);
        let found: Vec<u64> = kernel
            .tree(VirtAddr(HEAD), 0, 10, "the test")
            .map(|at| at.unwrap().0)
            .collect();
        assert_eq!(found, [node(0), node(1), node(2)]);
        // The left-most leads back to the top.
        ram.put_image64(node(0) + 16, node(1));
        let kernel = toy::kernel(&ram);
        let last = kernel.tree(VirtAddr(HEAD), 0, 1000, "the test").last();
        assert!(last.unwrap().is_err());
    }
}
