//! onsite
fn main() {}
