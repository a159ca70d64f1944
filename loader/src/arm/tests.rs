//! Tests of loading against the recording fake.
