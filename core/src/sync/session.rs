//! The sync session, sans-I/O: `handle(now, event) -> effects`.
