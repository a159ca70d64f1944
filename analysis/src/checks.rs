//! Whether the dump agrees with itself, and which of the kernel's own tables could be used.
//!
//! `vmcore::kernel::sanity` checks the kernel image; here are the checks of the tables that the rest of
//! the analysis needs. The kinds of pages have checks of their own (`vmcore::mm::check`).

use crate::unwind::Unwinder;
use serde::{Deserialize, Serialize};
use vmcore::kernel::sanity::{self, Outcome};
use vmcore::kernel::{Kernel, KernelError, chain};

/// One question and its answer.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Check {
    /// What was asked.
    pub what: String,
    /// The answer is what it should be.
    pub ok: bool,
    /// How much was looked at, or what is wrong.
    pub detail: String,
}

impl Check {
    fn new(what: &str, answer: &Outcome) -> Self {
        Self {
            what: what.into(),
            ok: answer.agrees(),
            detail: answer.detail().to_owned(),
        }
    }
}

/// Asks all of them.
#[must_use]
pub fn read(kernel: &Kernel, unwinder: &Unwinder<'_>) -> Vec<Check> {
    let symbols = kernel
        .symbols()
        .map(|table| format!("{} symbols", table.len()));
    let types = kernel.types().map(|types| format!("{} types", types.len()));
    let modules = kernel.modules().map(|list| match list.len() {
        1 => "1 module".to_owned(),
        n => format!("{n} modules"),
    });
    let orc = match unwinder.warnings() {
        [] => Outcome::Agrees("every table read".to_string()),
        warnings => Outcome::Differs(warnings.join("; ")),
    };
    let tables = [
        ("the symbol table (kallsyms)", used(symbols)),
        ("the type information (BTF)", used(types)),
        ("the list of modules", used(modules)),
        ("the unwind tables (ORC)", orc),
    ];
    let sane = sanity::check(kernel)
        .into_iter()
        .map(|s| (s.what, s.answer));
    sane.chain(tables)
        .map(|(what, answer)| Check::new(what, &answer))
        .collect()
}

/// What a table that could be read says of itself, or why it could not.
fn used(table: Result<String, KernelError>) -> Outcome {
    table.map_or_else(|why| Outcome::NotChecked(chain(&why)), Outcome::Agrees)
}
