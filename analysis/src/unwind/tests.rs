//! Tests on synthetic memory.
