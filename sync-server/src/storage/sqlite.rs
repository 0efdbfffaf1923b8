//! In one SQLite file: the embedded default.
