//! What depends on the machine: page tables and register layouts, one module an architecture.
//!
//! It names nothing but [`crate::addr`]. Page tables are read through [`PageTables`], so that it
//! does not matter which dump format they come from.

pub mod x86_64;

use crate::addr::PhysAddr;

/// Physical memory, as far as a page walk reads it.
pub trait PageTables {
    /// Why an entry cannot be read.
    type Error: std::error::Error + 'static;

    /// Entry number `index` (8 bytes each) of the table at `table`.
    ///
    /// # Errors
    /// When it cannot be read.
    fn entry(&self, table: PhysAddr, index: u64) -> Result<u64, Self::Error>;
}
