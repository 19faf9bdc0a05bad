mod observe;
mod server;
mod system;
fn main() {}
