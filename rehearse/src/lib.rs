//! A virtual machine from panic to verdict: what `afterpanic rehearse` and the laboratory share.
//!
//! [`vm`] runs QEMU, [`disk`] makes scratch filesystems and reads them back, [`guest`] is both
//! sides of the crashed kernel in it: the initramfs that the host builds, and the init
//! that mounts, arms and panics; [`session`] is one rehearsal;
//! [`server`] is a storage server beside it.
//! Which kernels and which panics there are is the laboratory's knowledge, not this crate's.

pub mod crash_test;
pub mod disk;
mod export;
pub mod find_min;
pub mod guest;
pub mod oops;
pub mod proof;
pub mod server;
pub mod session;
pub mod storage;
pub mod verdict;
pub mod vm;
