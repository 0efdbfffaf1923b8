//! The engine: one door in (`execute`), one door out (queries), one notice (`watch`), and sync.
