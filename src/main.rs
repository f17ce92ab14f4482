//! Maps an outcome to an exit status.

fn main() {}
