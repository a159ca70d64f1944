//! The globals that crash and drgn's helpers ask for, and what suffers without the type of one.
//!
//! crash takes a global whose type it does not find for an `int`, often without a word: it then says
//! something wrong. The names are those of `symbol_exists`, `symbol_type` and the like in crash 9.0 and
//! of `prog["…"]` in drgn 0.3's helpers; the types are those of 6.12. Kernels differ in lengths of
//! arrays and in `const` more than in anything else.

use std::collections::{BTreeMap, HashMap};

/// `[area]`, then a line `name: type` for each. Where kernels differ in more than lengths and `const`,
/// `type | type`.
const NEEDED: &str = include_str!("needed.txt");

/// What the areas are for.
const SUFFERS: [(&str, &str); 15] = [
    ("bpf", "bpf"),
    ("cgroups", "drgn's cgroup helpers"),
    ("cpus", "bt -a, mach, set -c, per-CPU values"),
    ("devices", "dev"),
    ("files", "mount, files, ipcs"),
    ("interrupts", "irq, timer"),
    ("log", "log"),
    ("memory", "kmem, vm, vtop, search"),
    ("modules", "mod"),
    ("network", "net"),
    ("slabs", "kmem -s, kmem -S"),
    ("swap", "swap"),
    ("system", "sys"),
    ("tasks", "ps, bt, foreach, runq, task"),
    ("workqueues", "drgn's workqueue helpers"),
];

/// Area, name and type of each.
fn rows() -> impl Iterator<Item = (&'static str, &'static str, &'static str)> {
    let mut area = "";
    NEEDED.lines().filter_map(move |line| {
        if let Some(name) = line.strip_prefix('[') {
            area = name.trim_end_matches(']');
            return None;
        }
        let (name, ty) = line.split_once(": ")?;
        Some((area, name, ty))
    })
}

/// The area of a name that crash or drgn's helpers need.
pub(crate) fn area(name: &str) -> Option<&'static str> {
    rows().find_map(|(area, is, _)| (is == name).then_some(area))
}

/// The names.
pub(crate) fn names() -> impl Iterator<Item = &'static str> {
    rows().map(|(_, name, _)| name)
}

/// Sentences on what it means that `what` (a type, a length) of these names is not known, one for each area.
pub(crate) fn warnings(what: &str, names: &[&str]) -> Vec<String> {
    let mut areas: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for name in names {
        areas
            .entry(area(name).unwrap_or(""))
            .or_default()
            .push(name);
    }
    let sentence = |(area, names): (&str, Vec<&str>)| {
        let suffers = SUFFERS
            .iter()
            .find_map(|(is, suffers)| (*is == area).then_some(*suffers))
            .unwrap_or("what uses them");
        let names = names.join(", ");
        format!("no {what} is known for {names}. What may be wrong in crash and drgn: {suffers}")
    };
    areas.into_iter().map(sentence).collect()
}

/// The types of these names.
#[derive(Default)]
pub(crate) struct Needed(HashMap<&'static str, &'static str>);

impl Needed {
    /// All of them.
    pub(crate) fn shipped() -> Self {
        Self(rows().map(|(_, name, ty)| (name, ty)).collect())
    }

    /// The types in words that a name may have; the first that the kernel has is meant.
    pub(crate) fn words(&self, name: &str) -> impl Iterator<Item = &'static str> {
        self.0
            .get(name)
            .into_iter()
            .flat_map(|all| all.split(" | "))
    }
}

#[cfg(test)]
mod tests {
    use super::{SUFFERS, area, rows, warnings};
    use std::collections::BTreeSet;

    #[test]
    fn every_area_says_what_it_is_for() {
        let known: BTreeSet<_> = SUFFERS.iter().map(|(area, _)| *area).collect();
        let used: BTreeSet<_> = rows().map(|(area, ..)| area).collect();
        assert_eq!(known, used);
        let names: Vec<_> = rows().map(|(_, name, _)| name).collect();
        let unique: BTreeSet<_> = names.iter().collect();
        assert_eq!(names.len(), unique.len());
        assert_eq!(area("runqueues"), Some("tasks"));
    }

    #[test]
    fn a_missing_type_names_the_commands() {
        let said = warnings("type", &["init_net", "runqueues", "init_task"]);
        assert_eq!(
            said,
            [
                "no type is known for init_net. What may be wrong in crash and drgn: net",
                "no type is known for runqueues, init_task. What may be wrong in crash and drgn: \
                 ps, bt, foreach, runq, task",
            ]
        );
    }
}
