//! The variables that BTF knows, and what functions take.
//!
//! Facts: Documentation/bpf/btf.rst: the parameters of a FUNC_PROTO follow it; one of no name and no type
//! means `...`. Variables are per-CPU ones alone up to 7.2.

use super::Types;
use super::raw::TypeKind;

impl Types {
    /// The variables, the base's too: the name and the number of the type.
    pub fn variables(&self) -> impl Iterator<Item = (&str, u32)> {
        let all = 1..self.btf.next_id().unwrap_or(1);
        all.filter_map(move |id| {
            let record = self.btf.record(id)?;
            let is_variable = record.kind == TypeKind::Var;
            is_variable.then(|| (self.btf.string(record.name), record.value))
        })
    }

    /// The types of a function's parameters, of a prototype by its number; none for what is no
    /// prototype. 0 is `...`.
    pub fn parameters(&self, prototype: u32) -> impl Iterator<Item = u32> {
        let record = self.btf.record(prototype);
        let record = record.filter(|record| record.kind == TypeKind::FuncProto);
        let count = record.map_or(0, |record| record.vlen);
        (0..count).map_while(move |n| {
            let at = n.checked_mul(2)?.checked_add(1)?;
            self.btf.word(prototype, &record?, at)
        })
    }
}
