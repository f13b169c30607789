//! Stands empty until its first file.
fn main() {}
