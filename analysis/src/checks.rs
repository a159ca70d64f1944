//! Whether the dump agrees with itself, and which of the kernel's own tables could be used.
//!
//! `vmcore::kernel::sanity` checks the kernel image; here are the checks of the tables that the rest of
//! the analysis needs. The kinds of pages have checks of their own (`vmcore::mm::check`).

use crate::unwind::Unwinder;
use serde::{Deserialize, Serialize};
use vmcore::kernel::{Kernel, chain, sanity};

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
    fn new(what: &str, answer: Result<String, String>) -> Self {
        let ok = answer.is_ok();
        let (Ok(detail) | Err(detail)) = answer;
        Self {
            what: what.into(),
            ok,
            detail,
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
        [] => Ok("every table read".to_string()),
        warnings => Err(warnings.join("; ")),
    };
    let tables = [
        (
            "the symbol table (kallsyms)",
            symbols.map_err(|why| chain(&why)),
        ),
        (
            "the type information (BTF)",
            types.map_err(|why| chain(&why)),
        ),
        ("the list of modules", modules.map_err(|why| chain(&why))),
        ("the unwind tables (ORC)", orc),
    ];
    let sane = sanity::check(kernel)
        .into_iter()
        .map(|s| (s.what, s.answer.into_result()));
    sane.chain(tables)
        .map(|(what, answer)| Check::new(what, answer))
        .collect()
}
