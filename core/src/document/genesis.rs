//! The first bytes of every document: identical on all devices.
