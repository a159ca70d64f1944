//! What runs in the panic kernel.
