//! The file's schema: migrations by `PRAGMA user_version`.
