//! The kernel's numbers for files, and the paths behind them.

use std::collections::BTreeMap;

/// The root of the mount.
pub(super) const ROOT: u64 = 1;

/// A file or directory that the kernel knows.
struct Node {
    path: String,
    /// How often the kernel was told of it.
    lookups: u64,
}

/// All of them. The kernel forgets each when it needs it no more.
pub(super) struct Nodes {
    nodes: BTreeMap<u64, Node>,
    numbers: BTreeMap<String, u64>,
    next: u64,
}

impl Nodes {
    pub(super) fn new(root: &str) -> Self {
        let mut nodes = Self {
            nodes: BTreeMap::new(),
            numbers: BTreeMap::new(),
            next: ROOT,
        };
        nodes.of(root);
        nodes
    }

    /// The path behind a number.
    pub(super) fn path(&self, number: u64) -> Option<&str> {
        self.nodes.get(&number).map(|node| node.path.as_str())
    }

    /// The number of a path, which the kernel is told.
    pub(super) fn of(&mut self, path: &str) -> u64 {
        let number = match self.numbers.get(path) {
            Some(number) => *number,
            None => {
                let number = self.next;
                self.next = self.next.wrapping_add(1);
                self.numbers.insert(path.to_owned(), number);
                let node = Node {
                    path: path.to_owned(),
                    lookups: 0,
                };
                self.nodes.insert(number, node);
                number
            }
        };
        if let Some(node) = self.nodes.get_mut(&number) {
            node.lookups = node.lookups.saturating_add(1);
        }
        number
    }

    /// The kernel forgot a number as often as it was told.
    pub(super) fn forget(&mut self, number: u64, times: u64) {
        let Some(node) = self.nodes.get_mut(&number) else {
            return;
        };
        node.lookups = node.lookups.saturating_sub(times);
        if node.lookups == 0
            && number != ROOT
            && let Some(node) = self.nodes.remove(&number)
            && self.numbers.get(&node.path) == Some(&number)
        {
            self.numbers.remove(&node.path);
        }
    }

    /// A name is gone: a later file of that name has another number.
    pub(super) fn removed(&mut self, path: &str) {
        self.numbers.remove(path);
    }

    /// A file or directory has another name, and so has all that is below it.
    pub(super) fn renamed(&mut self, from: &str, to: &str) {
        self.numbers.remove(to);
        for (number, node) in &mut self.nodes {
            let rest = node.path.strip_prefix(from);
            let below = rest.filter(|rest| rest.is_empty() || rest.starts_with('/'));
            let Some(moved) = below.map(|rest| format!("{to}{rest}")) else {
                continue;
            };
            // A name that was removed stays so.
            if self.numbers.get(&node.path) == Some(number) {
                self.numbers.remove(&node.path);
                self.numbers.insert(moved.clone(), *number);
            }
            node.path = moved;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_follow_renames_and_are_not_used_twice() {
        let mut nodes = Nodes::new("/dumps");
        assert_eq!(nodes.path(ROOT), Some("/dumps"));
        let dir = nodes.of("/dumps/a.partial");
        let file = nodes.of("/dumps/a.partial/core");
        let other = nodes.of("/dumps/a.partial-2");
        nodes.renamed("/dumps/a.partial", "/dumps/a");
        assert_eq!(nodes.path(dir), Some("/dumps/a"));
        assert_eq!(nodes.path(file), Some("/dumps/a/core"));
        assert_eq!(nodes.path(other), Some("/dumps/a.partial-2"));
        assert_eq!(nodes.of("/dumps/a/core"), file);
        nodes.removed("/dumps/a/core");
        assert_ne!(nodes.of("/dumps/a/core"), file);
        nodes.forget(file, 1);
        assert!(nodes.path(file).is_some());
        nodes.forget(file, 1);
        assert_eq!(nodes.path(file), None);
        nodes.forget(ROOT, 5);
        assert!(nodes.path(ROOT).is_some());
    }
}
