//! The command line, hermetic.
