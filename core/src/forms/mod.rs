//! The two paper forms as printable HTML.
