//! Flattened device trees: read, changed, written.
//!
//! Facts: the Devicetree specification 0.4, chapter 5 (header, reservation block, structure block, strings
//! block), version 17. Numbers are big-endian. Nothing in the bytes is trusted: every place is checked, names
//! and values are copied, and a tree may not be deeper than [`DEEPEST`].

/// What a tree begins with.
const MAGIC: u32 = 0xd00d_feed;
const HEADER: usize = 40;
const VERSION: u32 = 17;
/// The oldest version that has all of these fields.
const COMPATIBLE: u32 = 16;
const BEGIN_NODE: u32 = 1;
const END_NODE: u32 = 2;
const PROPERTY: u32 = 3;
const NOP: u32 = 4;
const END: u32 = 9;
/// The most nodes one inside the other. Real trees have about ten.
const DEEPEST: usize = 64;
/// The longest name. Names of properties may share bytes, so they are bounded by themselves.
const LONGEST: usize = 255;

/// A tree.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tree {
    /// Memory that the kernel must not use: address and size.
    pub reserved: Vec<(u64, u64)>,
    /// The CPU that boots, as its node's `reg` names it.
    pub boot_cpu: u32,
    /// The root node; its name is empty.
    pub root: Node,
}

/// A node.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Node {
    /// `memory@40000000`.
    pub name: Vec<u8>,
    /// Names and values, in order.
    pub properties: Vec<(Vec<u8>, Vec<u8>)>,
    /// The nodes in it, in order.
    pub children: Vec<Node>,
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    let bytes = bytes.get(at..at.checked_add(4)?)?;
    bytes.try_into().ok().map(u32::from_be_bytes)
}

fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    let bytes = bytes.get(at..at.checked_add(8)?)?;
    bytes.try_into().ok().map(u64::from_be_bytes)
}

fn size_at(bytes: &[u8], at: usize) -> Option<usize> {
    usize::try_from(u32_at(bytes, at)?).ok()
}

/// The bytes up to the next NUL. `None`: no NUL within the longest name.
fn text_at(bytes: &[u8], at: usize) -> Option<&[u8]> {
    let rest = bytes.get(at..)?;
    let end = rest.iter().take(LONGEST + 1).position(|byte| *byte == 0)?;
    rest.get(..end)
}

impl Tree {
    /// Reads a tree. `None`: it is something else, cut off, damaged, or deeper than 64 nodes.
    #[must_use]
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        if u32_at(bytes, 0)? != MAGIC {
            return None;
        }
        let bytes = bytes.get(..size_at(bytes, 4)?)?;
        if u32_at(bytes, 20)? < COMPATIBLE || u32_at(bytes, 24)? > VERSION {
            return None;
        }
        let strings = bytes.get(size_at(bytes, 12)?..)?;
        let strings = strings.get(..size_at(bytes, 32)?)?;
        Some(Self {
            reserved: reserved(bytes.get(size_at(bytes, 16)?..)?)?,
            boot_cpu: u32_at(bytes, 28)?,
            root: structure(bytes.get(size_at(bytes, 8)?..)?, strings)?,
        })
    }

    /// The tree as a kernel reads it. `None`: it is larger than 4 GiB.
    #[must_use]
    pub fn write(&self) -> Option<Vec<u8>> {
        let mut out = vec![0; HEADER];
        for (address, size) in self.reserved.iter().chain([&(0, 0)]) {
            out.extend(address.to_be_bytes());
            out.extend(size.to_be_bytes());
        }
        let (mut structure, mut strings) = (Vec::new(), Vec::new());
        self.root.write(&mut structure, &mut strings)?;
        structure.extend(END.to_be_bytes());
        let at = out.len();
        let length = |bytes: &[u8]| u32::try_from(bytes.len()).ok();
        let total = at
            .checked_add(structure.len())?
            .checked_add(strings.len())?
            .checked_next_multiple_of(8)?;
        let fields = [
            MAGIC,
            u32::try_from(total).ok()?,
            u32::try_from(at).ok()?,
            u32::try_from(at.checked_add(structure.len())?).ok()?,
            u32::try_from(HEADER).ok()?,
            VERSION,
            COMPATIBLE,
            self.boot_cpu,
            length(&strings)?,
            length(&structure)?,
        ];
        let head = fields.into_iter().flat_map(u32::to_be_bytes);
        for (to, from) in out.iter_mut().zip(head) {
            *to = from;
        }
        out.extend(structure);
        out.extend(strings);
        out.resize(total, 0);
        Some(out)
    }

    /// The `#address-cells` and `#size-cells` of the root, in words of 32 bits; without them one each, as the
    /// kernel takes it (drivers/of/fdt.c, early_init_dt_scan_root).
    #[must_use]
    pub fn cells(&self) -> (usize, usize) {
        let cells = |name: &str| {
            let value = self.root.property(name)?;
            usize::try_from(u32_at(value, 0)?).ok()
        };
        let or_one = |name| cells(name).unwrap_or(1);
        (or_one("#address-cells"), or_one("#size-cells"))
    }

    /// An address and a size in the root's cells. `None`: they do not fit.
    #[must_use]
    pub fn range(&self, address: u64, size: u64) -> Option<Vec<u8>> {
        let (address_cells, size_cells) = self.cells();
        let mut out = number(address, address_cells)?;
        out.extend(number(size, size_cells)?);
        Some(out)
    }
}

/// A number in so many words of 32 bits. `None`: it does not fit, or there are more than four.
fn number(value: u64, cells: usize) -> Option<Vec<u8>> {
    let bytes = u128::from(value).to_be_bytes();
    let from = bytes.len().checked_sub(cells.checked_mul(4)?)?;
    let (lost, kept) = bytes.split_at(from);
    lost.iter().all(|byte| *byte == 0).then(|| kept.to_vec())
}

/// The entries of the reservation block, up to the empty one.
fn reserved(block: &[u8]) -> Option<Vec<(u64, u64)>> {
    let mut out = Vec::new();
    for entry in block.chunks_exact(16) {
        match (u64_at(entry, 0)?, u64_at(entry, 8)?) {
            (0, 0) => return Some(out),
            entry => out.push(entry),
        }
    }
    None
}

/// The root node out of the structure block.
fn structure(block: &[u8], strings: &[u8]) -> Option<Node> {
    // The nodes that have begun and not ended, the root first.
    let mut open: Vec<Node> = Vec::new();
    let mut at = 0_usize;
    loop {
        let token = u32_at(block, at)?;
        at = at.checked_add(4)?;
        match token {
            NOP => {}
            BEGIN_NODE => {
                let name = text_at(block, at)?.to_vec();
                at = aligned(at.checked_add(name.len())?.checked_add(1)?)?;
                if open.len() >= DEEPEST {
                    return None;
                }
                open.push(Node {
                    name,
                    ..Node::default()
                });
            }
            PROPERTY => {
                let (length, name) = (size_at(block, at)?, size_at(block, at.checked_add(4)?)?);
                at = at.checked_add(8)?;
                let end = at.checked_add(length)?;
                let value = block.get(at..end)?.to_vec();
                let name = text_at(strings, name)?.to_vec();
                open.last_mut()?.properties.push((name, value));
                at = aligned(end)?;
            }
            END_NODE => {
                let node = open.pop()?;
                match open.last_mut() {
                    Some(parent) => parent.children.push(node),
                    None => return Some(node),
                }
            }
            _ => return None,
        }
    }
}

fn aligned(at: usize) -> Option<usize> {
    at.checked_next_multiple_of(4)
}

impl Node {
    fn write(&self, out: &mut Vec<u8>, strings: &mut Vec<u8>) -> Option<()> {
        out.extend(BEGIN_NODE.to_be_bytes());
        out.extend(&self.name);
        pad(out, 1);
        for (name, value) in &self.properties {
            out.extend(PROPERTY.to_be_bytes());
            out.extend(u32::try_from(value.len()).ok()?.to_be_bytes());
            out.extend(string(strings, name)?.to_be_bytes());
            out.extend(value);
            pad(out, 0);
        }
        for child in &self.children {
            child.write(out, strings)?;
        }
        out.extend(END_NODE.to_be_bytes());
        Some(())
    }

    /// The node in this one with this name; `@` and what follows may be left out.
    #[must_use]
    pub fn child(&self, name: &str) -> Option<&Self> {
        self.children.iter().find(|child| child.is(name))
    }

    /// The same to be changed; made where it is missing.
    pub fn child_or_new(&mut self, name: &str) -> Option<&mut Self> {
        let at = self.children.iter().position(|child| child.is(name));
        let at = at.unwrap_or_else(|| {
            self.children.push(Self {
                name: name.as_bytes().to_vec(),
                ..Self::default()
            });
            self.children.len().saturating_sub(1)
        });
        self.children.get_mut(at)
    }

    fn is(&self, name: &str) -> bool {
        let own = self.name.strip_prefix(name.as_bytes());
        own.is_some_and(|rest| rest.is_empty() || rest.starts_with(b"@"))
    }

    /// A property's value.
    #[must_use]
    pub fn property(&self, name: &str) -> Option<&[u8]> {
        let found = self.properties.iter().find(|(n, _)| n == name.as_bytes());
        found.map(|(_, value)| value.as_slice())
    }

    /// A property as a number of one or two words.
    #[must_use]
    pub fn number(&self, name: &str) -> Option<u64> {
        let value = self.property(name)?;
        match value.len() {
            4 => u32_at(value, 0).map(u64::from),
            8 => u64_at(value, 0),
            _ => None,
        }
    }

    /// Sets a property, where it stood before or at the end.
    pub fn set(&mut self, name: &str, value: impl Into<Vec<u8>>) {
        let value = value.into();
        let found = self
            .properties
            .iter_mut()
            .find(|(n, _)| n == name.as_bytes());
        match found {
            Some((_, old)) => *old = value,
            None => self.properties.push((name.as_bytes().to_vec(), value)),
        }
    }

    /// Takes a property away.
    pub fn remove(&mut self, name: &str) {
        self.properties.retain(|(n, _)| n != name.as_bytes());
    }
}

/// `least` NULs or more, up to a multiple of four bytes.
fn pad(out: &mut Vec<u8>, least: usize) {
    let end = out.len().saturating_add(least);
    out.resize(end.checked_next_multiple_of(4).unwrap_or(end), 0);
}

/// The offset of a name in the strings block. A missing name is added.
fn string(strings: &mut Vec<u8>, name: &[u8]) -> Option<u32> {
    let mut at = 0_usize;
    while let Some(known) = text_at(strings, at) {
        if known == name {
            return u32::try_from(at).ok();
        }
        at = at.checked_add(known.len())?.checked_add(1)?;
    }
    let at = u32::try_from(strings.len()).ok();
    strings.extend(name);
    strings.push(0);
    at
}

#[cfg(test)]
mod tests;
