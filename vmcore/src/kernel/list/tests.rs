//! Lists and trees, sound and broken.

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
