//! Real panics.
