//! Trees written by hand after the specification, and what becomes of them.

use super::*;

fn word(n: u32) -> [u8; 4] {
    n.to_be_bytes()
}

/// A tree laid out by hand: a root with two cells each, /chosen with a property that was taken out (NOP), and a
/// reservation.
pub(crate) fn by_hand() -> Vec<u8> {
    let strings = b"#address-cells\0#size-cells\0bootargs\0";
    let mut structure = Vec::new();
    structure.extend([word(BEGIN_NODE), word(0)].concat());
    structure.extend([word(PROPERTY), word(4), word(0), word(2)].concat());
    structure.extend([word(PROPERTY), word(4), word(15), word(2)].concat());
    structure.extend(word(BEGIN_NODE));
    structure.extend(b"chosen\0\0");
    structure.extend([word(PROPERTY), word(6), word(27)].concat());
    structure.extend(b"quiet\0\0\0");
    structure.extend([word(NOP), word(NOP), word(NOP)].concat());
    structure.extend([word(END_NODE), word(BEGIN_NODE)].concat());
    structure.extend(b"memory@40000000\0");
    structure.extend([word(END_NODE), word(END_NODE), word(END)].concat());
    let at = 40 + 32;
    let total = at + structure.len() + strings.len();
    let header = [
        MAGIC,
        u32::try_from(total).unwrap(),
        72,
        u32::try_from(at + structure.len()).unwrap(),
        40,
        17,
        16,
        3,
        u32::try_from(strings.len()).unwrap(),
        u32::try_from(structure.len()).unwrap(),
    ];
    let mut out: Vec<u8> = header.into_iter().flat_map(u32::to_be_bytes).collect();
    for n in [0x4800_0000_u64, 0x1000, 0, 0] {
        out.extend(n.to_be_bytes());
    }
    out.extend(structure);
    out.extend(strings);
    out
}

#[test]
fn a_tree_is_read_as_it_was_laid_out() {
    let tree = Tree::parse(&by_hand()).unwrap();
    assert_eq!(tree.reserved, [(0x4800_0000, 0x1000)]);
    assert_eq!((tree.boot_cpu, tree.cells()), (3, (2, 2)));
    let chosen = tree.root.child("chosen").unwrap();
    assert_eq!(chosen.property("bootargs"), Some(&b"quiet\0"[..]));
    assert_eq!(chosen.properties.len(), 1);
    assert_eq!(tree.root.child("memory").unwrap().name, b"memory@40000000");
    assert_eq!(tree.root.child("mem"), None);
    assert_eq!(tree.root.number("#size-cells"), Some(2));
}

#[test]
fn what_is_written_is_read_again() {
    let mut tree = Tree::parse(&by_hand()).unwrap();
    let chosen = tree.root.child_or_new("chosen").unwrap();
    chosen.set("bootargs", *b"console=ttyAMA0\0");
    chosen.set("linux,booted-from-kexec", []);
    chosen.set("odd", *b"abcde");
    let new = tree.root.child_or_new("new").unwrap();
    new.set("bootargs", *b"x\0");
    tree.root.remove("#size-cells");
    let bytes = tree.write().unwrap();
    assert_eq!(bytes.len() % 8, 0);
    assert_eq!(Tree::parse(&bytes), Some(tree.clone()));
    // Names stand once.
    let count = bytes.windows(9).filter(|w| w == b"bootargs\0").count();
    assert_eq!(count, 1);
    assert_eq!(tree.cells(), (2, 1));
    tree.root.remove("#address-cells");
    assert_eq!(tree.cells(), (1, 1));
}

#[test]
fn a_range_takes_the_roots_cells_or_is_refused() {
    let mut tree = Tree::parse(&by_hand()).unwrap();
    let range = tree.range(0x1_2345_6789, 0x1000).unwrap();
    assert_eq!(
        range,
        [
            0, 0, 0, 1, 0x23, 0x45, 0x67, 0x89, 0, 0, 0, 0, 0, 0, 0x10, 0
        ]
    );
    tree.root.set("#size-cells", word(1));
    assert_eq!(tree.range(1, 1).map(|r| r.len()), Some(12));
    assert_eq!(tree.range(1, 1 << 32), None);
    tree.root.set("#address-cells", word(5));
    assert_eq!(tree.range(1, 1), None);
}

#[test]
fn damage_is_none_and_no_panic() {
    let good = by_hand();
    for end in 0..good.len() {
        assert_eq!(Tree::parse(&good[..end]), None);
    }
    for at in 0..good.len() {
        for value in [0, 1, 0x7f, 0xff] {
            let mut bad = good.clone();
            bad[at] = value;
            if let Some(tree) = Tree::parse(&bad) {
                assert_eq!(Tree::parse(&tree.write().unwrap()), Some(tree));
            }
        }
    }
}

#[test]
fn a_tree_without_end_is_refused() {
    let deep = |depth: usize| {
        let mut node = Node::default();
        for _ in 1..depth {
            node = Node {
                children: vec![node],
                ..Node::default()
            };
        }
        let root = node;
        Tree {
            root,
            ..Tree::default()
        }
    };
    let written = |depth| deep(depth).write().unwrap();
    assert_eq!(Tree::parse(&written(64)), Some(deep(64)));
    assert_eq!(Tree::parse(&written(65)), None);
}

#[test]
fn names_that_share_bytes_stay_short() {
    let mut tree = Tree::default();
    tree.root.set(&"x".repeat(255), []);
    let bytes = tree.write().unwrap();
    assert_eq!(Tree::parse(&bytes), Some(tree.clone()));
    tree.root.set(&"y".repeat(256), []);
    assert_eq!(Tree::parse(&tree.write().unwrap()), None);
}
