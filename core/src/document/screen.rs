//! Caps on changes from elsewhere, checked before Automerge sees a byte.
