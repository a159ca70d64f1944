//! Arms a machine: puts the capture kernel into the reserved memory, takes it out again, and says whether
//! it is there.
//!
//! Holds, from low to high: [`kernel`] (the system calls as a trait, with a recording fake) and its Linux
//! implementation [`sys`]; the parsers [`iomem`], [`crashkernel`], [`cmdline`], [`kimage`] and
//! [`fdt`]; `arch` (what an architecture does differently); [`state`]
//! (what was loaded, kept in a file); [`arm`] (load and unload), [`filter`] (whether the page filter fits
//! the running kernel), [`bootloader`] and [`reserve`] (`crashkernel=`), [`stores`] (where crash
//! directories are), [`remote`] (a target on a server, opened from the running system), [`shipping`] (what waits to be
//! sent there after a reboot), [`status`] and [`doctor`].
//!
//! May name `initramfs` and the crates below it. Never writes a core and never reads one. Whatever reads
//! the machine takes a root prefix, so that tests run on fixture trees.

pub mod access;
pub mod arch;
pub mod arm;
pub mod bootloader;
pub mod cmdline;
pub mod crashkernel;
mod diagnosis;
pub mod doctor;
mod efi;
pub mod fdt;
mod files;
pub mod filter;
pub mod host_keys;
mod inputs;
pub mod iomem;
pub mod kernel;
mod kexec_load;
mod keys;
pub mod kimage;
mod last_crash;
mod platform;
pub mod probe;
pub mod proof;
pub mod reboot;
pub mod refusal;
pub mod remote;
pub mod reserve;
mod root;
mod sending;
pub mod servers;
pub mod shipping;
mod signature;
pub mod state;
pub mod status;
pub mod stores;
pub mod sys;
mod words;
