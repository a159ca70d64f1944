//! The crashed kernel's memory as data.
//!
//! From low to high: [`addr`] (addresses as types), [`dump`] (a dump as physical memory, one
//! module a format), [`arch`] and [`kernel`] (the crashed kernel: translation, symbols, types),
//! [`printk`] (its log), [`mod@write`] (pages in order become a file), [`mm`] (what a page is), [`time`].
//! There is no policy here, and no words for the user beyond errors.

pub mod addr;
pub mod arch;
pub mod dump;
pub mod kernel;
pub mod layout;
pub mod mm;
pub mod printk;
pub mod time;
pub mod view;
pub mod write;
