//! Makes a rebuild notice new migration files.
fn main() {
    println!("cargo:rerun-if-changed=orders");
    println!("cargo:rerun-if-changed=accounts");
}
