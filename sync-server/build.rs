//! Makes the compiler look again where the office's page was built anew.

fn main() {
    println!("cargo::rerun-if-changed=dashboard/dist");
}
