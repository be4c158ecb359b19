//! The command `rustor`.
fn main() {}
