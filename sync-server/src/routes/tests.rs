//! Routes under test.
