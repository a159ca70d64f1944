//! What crash is asked.

use crate::globals::USED;
use anyhow::{Result, bail, ensure};
use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use vmcore::kernel::{Kernel, TypeKind};

/// crash's commands, one a line.
const CRASH: &str = include_str!("crash.txt");
/// Structures whose layout is asked for, all over the alphabet.
const STRUCTURES: usize = 200;
/// Variables that are printed, out of those that crash and drgn themselves use.
const VARIABLES: usize = 100;

/// The commands for the kernel of a core.
///
/// # Errors
/// The core cannot be read, or its kernel has too few types or symbols.
pub(super) fn of(core: &Path) -> Result<Vec<String>> {
    let kernel = Kernel::new(vmcore::dump::open(core)?)?;
    let types = kernel.types()?;
    let mut times: BTreeMap<&str, u32> = BTreeMap::new();
    for id in types.own_ids() {
        let is_structure = types.kind(id) == Some(TypeKind::Struct);
        if is_structure && !types.name(id).is_empty() && types.size(id) > Some(0) {
            *times.entry(types.name(id)).or_default() += 1;
        }
    }
    // Of several with one name each debugger shows another.
    times.retain(|_, times| *times == 1);
    let structures = spread(times.into_keys().collect(), STRUCTURES);
    // The same of variables, which are no functions. What was freed after the boot is other data now.
    let mut symbols: HashMap<String, (u64, u32)> = HashMap::new();
    kernel.symbols()?.for_each(|symbol| {
        symbols
            .entry(symbol.name)
            .or_insert((symbol.address.0, 0))
            .1 += 1;
    })?;
    let bounds = ["_stext", "_etext", "__init_begin", "__init_end"];
    let bounds = bounds.map(|name| symbols.get(name).map(|of| of.0));
    let [Some(text), Some(text_end), Some(init), Some(init_end)] = bounds else {
        bail!("the core's kernel does not say where its code lies");
    };
    let is_other = |at| (text..text_end).contains(&at) || (init..init_end).contains(&at);
    let is_one = |name: &&str| {
        let found = symbols.get(*name);
        found.is_some_and(|(at, times)| *times == 1 && !is_other(*at))
    };
    let variables = USED.lines().filter(|line| !line.starts_with('#'));
    let variables = variables.filter(is_one);
    let variables = spread(variables.collect(), VARIABLES);
    ensure!(
        structures.len() == STRUCTURES && variables.len() == VARIABLES,
        "{} structures and {} variables only",
        structures.len(),
        variables.len()
    );
    let fixed = CRASH.lines().map(ToOwned::to_owned);
    let structures = structures.iter().map(|name| format!("struct -o {name}"));
    let variables = variables.iter().map(|name| format!("p {name}"));
    let mut all: Vec<String> = Vec::new();
    for question in fixed.chain(structures).chain(variables) {
        if !all.contains(&question) {
            all.push(question);
        }
    }
    Ok(all)
}

/// So many of them, evenly.
fn spread(all: Vec<&str>, wanted: usize) -> Vec<&str> {
    let at = |n: usize| all.get(n * all.len() / wanted).copied();
    match all.len() >= wanted {
        true => (0..wanted).filter_map(at).collect(),
        false => all,
    }
}

#[cfg(test)]
mod tests {
    use super::{CRASH, spread};

    #[test]
    fn no_question_is_asked_twice() {
        let mut all: Vec<_> = CRASH.lines().collect();
        assert!(all.len() > 100);
        all.sort_unstable();
        let before = all.len();
        all.dedup();
        assert_eq!(all.len(), before);
    }

    #[test]
    fn a_part_comes_from_all_over() {
        let all = vec!["a", "b", "c", "d", "e", "f"];
        assert_eq!(spread(all.clone(), 3), ["a", "c", "e"]);
        assert_eq!(spread(all, 7).len(), 6);
    }
}
