//! Answers against the debug information.

use super::USED;
use super::vmlinux::Vmlinux;
use debuginfo::{CType, GlobalType, Globals, Source, Table, Variable};
use std::collections::{BTreeMap, HashMap, HashSet};
use vmcore::kernel::{TypeKind, Types};

/// How many were asked, answered, and answered wrongly.
#[derive(Clone, Copy, Default, Debug)]
pub(super) struct Score {
    asked: u32,
    answered: u32,
    wrong: u32,
}

impl Score {
    fn share(part: u32, of: u32) -> f64 {
        100.0 * f64::from(part) / f64::from(of.max(1))
    }

    /// Per cent of what was asked.
    fn answered(self) -> f64 {
        Self::share(self.answered, self.asked)
    }

    /// Per cent of the answers.
    fn wrong(self) -> f64 {
        Self::share(self.wrong, self.answered)
    }

    /// Per cent of what was asked that was answered rightly.
    fn right(self) -> f64 {
        Self::share(self.answered - self.wrong, self.asked)
    }
}

/// What came of one kernel.
#[derive(Default, Debug)]
pub(super) struct Judgement {
    /// Names that crash and drgn ask for.
    used: Score,
    /// Variables of struct or union type.
    structures: Score,
    all: Score,
    by_source: BTreeMap<Source, Score>,
    wrong: Vec<String>,
    /// Structures without an answer, by type.
    missing: BTreeMap<String, u32>,
}

/// Asks for every variable.
pub(super) fn judge(kernel: &Vmlinux, table: &Table, own: bool) -> Judgement {
    let table = table.clone();
    let table = match own {
        true => table,
        false => table.without(&kernel.release),
    };
    let globals = kernel.globals(Some(table));
    let types = globals.types();
    let mut this = Judgement::default();
    let mut by_symbol: HashMap<(u64, &str), &Variable> = HashMap::new();
    // Beside a weak definition without a length lies the strong one.
    let sized = kernel.variables.iter().filter(|of| of.1.size.is_some());
    let sized: HashSet<u64> = sized.map(|(at, _)| *at).collect();
    for (at, variable) in &kernel.variables {
        let Some(symbol) = kernel.symbol_of(*at, variable) else {
            continue;
        };
        // What takes no room (a lock's class without lockdep) lies where others lie.
        if variable.size == Some(0) || variable.size.is_none() && sized.contains(at) {
            continue;
        }
        by_symbol.insert((*at, symbol), variable);
        let truth = Truth::of(variable, &globals);
        let answer = answer(&globals, symbol, *at, &truth);
        let is_right = answer.as_ref().map(|answer| truth.is(answer, types));
        this.all.count(is_right);
        if truth.structure {
            this.structures.count(is_right);
            if let Some(answer) = &answer {
                this.by_source
                    .entry(answer.source)
                    .or_default()
                    .count(is_right);
            }
        }
        if is_right.is_none() && truth.structure {
            *this.missing.entry(variable.words.clone()).or_default() += 1;
        }
        if let (Some(false), Some(answer)) = (is_right, &answer) {
            let said = answer.ty.declare(types, "");
            let kind = if truth.structure { "struct" } else { "other" };
            let (words, source) = (&variable.words, answer.source);
            this.wrong.push(format!(
                "{kind} {symbol}: {source:?} says {said}, it is {words}"
            ));
        }
    }
    for name in USED.lines().filter(|line| !line.starts_with('#')) {
        let address = globals.names().address(name);
        let variable = address.and_then(|address| by_symbol.get(&(address, name)));
        let (Some(address), Some(variable)) = (address, variable) else {
            continue;
        };
        let truth = Truth::of(variable, &globals);
        let answer = answer(&globals, name, address, &truth);
        let is_right = answer.as_ref().map(|answer| truth.is(answer, types));
        this.used.count(is_right);
        if is_right != Some(true) {
            let said = answer.map(|answer| answer.ty.declare(types, ""));
            let words = &variable.words;
            this.wrong
                .push(format!("used {name}: {said:?}, it is {words}"));
        }
    }
    this
}

/// The answer. An array without its length is none.
fn answer(globals: &Globals<'_>, symbol: &str, at: u64, truth: &Truth) -> Option<GlobalType> {
    let is_open = |ty: &CType| matches!(ty.unqualified(), CType::Array(_, None));
    let answer = globals.at(symbol, at)?;
    let lacks = is_open(&answer.ty) && !truth.ty.as_ref().is_some_and(is_open);
    (!lacks).then_some(answer)
}

impl Score {
    fn count(&mut self, is_right: Option<bool>) {
        self.asked += 1;
        self.answered += u32::from(is_right.is_some());
        self.wrong += u32::from(is_right == Some(false));
    }
}

/// The type that a variable has.
struct Truth {
    /// The type over BTF.
    ty: Option<CType>,
    /// In C's words, without qualifiers; what BTF cannot say is in DWARF's words.
    words: String,
    structure: bool,
}

impl Truth {
    fn of(variable: &Variable, globals: &Globals<'_>) -> Self {
        let (ty, types) = (globals.parse(&variable.words), globals.types());
        let plain = |word: &str| variable.words.contains(word);
        let structure = match &ty {
            Some(ty) => match ty.unqualified() {
                CType::Btf(id) => {
                    let kind = types.strip(*id).and_then(|id| types.kind(id));
                    matches!(kind, Some(TypeKind::Struct | TypeKind::Union))
                }
                _ => false,
            },
            None => (plain("struct ") || plain("union ")) && !plain("*") && !plain("["),
        };
        let words = match &ty {
            Some(ty) => ty.declare(types, ""),
            None => variable.words.clone(),
        };
        Self {
            words: unqualified(&words),
            ty,
            structure,
        }
    }

    fn is(&self, answer: &GlobalType, types: &Types) -> bool {
        // Unnamed structures all read alike.
        let is_same = self.ty.as_ref().map(CType::unqualified) == Some(answer.ty.unqualified());
        let words = unqualified(&answer.ty.declare(types, ""));
        is_same || self.words == words && !words.contains('{')
    }
}

/// Neither debugger cares for qualifiers.
fn unqualified(words: &str) -> String {
    let words = words.replace("*const", "*").replace("*volatile", "*");
    let plain = words
        .split(' ')
        .filter(|word| !["const", "volatile"].contains(word));
    let named = plain.map(|word| if word == "bool" { "_Bool" } else { word });
    named.collect::<Vec<_>>().join(" ")
}

impl Judgement {
    /// Whether the bars hold.
    pub(super) fn holds(&self, own: bool) -> bool {
        let (answered, wrong) = if own { (90.0, 0.5) } else { (85.0, 1.0) };
        let used = !own || self.used.right() >= 99.0;
        used && self.structures.answered() >= answered && self.structures.wrong() <= wrong
    }

    /// Prints the figures.
    pub(super) fn print(&self, release: &str, own: bool, wrong: bool) {
        let row = if own {
            "with its row"
        } else {
            "without its row"
        };
        let word = if self.holds(own) { "ok" } else { "FAILED" };
        println!("{release} {row}: {word}");
        for (name, score) in [
            ("used by crash and drgn", self.used),
            ("of struct type", self.structures),
            ("all", self.all),
        ] {
            println!(
                "  {name:<24} {:>6} asked, {:>5.1} % answered, {:>5.2} % of the answers wrong, {:>5.1} % right",
                score.asked,
                score.answered(),
                score.wrong(),
                score.right()
            );
        }
        for (source, score) in &self.by_source {
            let (answered, wrong) = (score.answered, score.wrong);
            println!("  structs by {source:?}: {answered} answers, {wrong} wrong");
        }
        if wrong {
            self.wrong.iter().for_each(|line| println!("    {line}"));
            let mut missing: Vec<_> = self.missing.iter().collect();
            missing.sort_by_key(|(_, count)| std::cmp::Reverse(**count));
            for (words, count) in missing {
                println!("    {count} without an answer: {words}");
            }
        }
    }
}
