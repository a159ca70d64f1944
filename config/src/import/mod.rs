//! Other suites' configs in afterpanic's words; what has no counterpart is said.
