//! In one SQLite file: the embedded default.
pub struct SqliteStorage;
