mod observe;
mod system;
fn main() {}
