//! What depends on the machine: page tables and register layouts, one module an architecture.

pub mod x86_64;
