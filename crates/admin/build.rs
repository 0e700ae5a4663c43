//! New files among the assets are embedded too.

fn main() {
    println!("cargo::rerun-if-changed=assets");
}
