//! What runs in the panic kernel.

pub mod crashes;
