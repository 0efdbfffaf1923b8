//! The device's store: one SQLite file, one writer, one transaction a command.
