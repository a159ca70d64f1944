//! Tests of status on small trees.
