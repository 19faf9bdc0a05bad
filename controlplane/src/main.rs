mod catalogue_docs;
mod export;
mod http_facts;
mod observe;
mod system;
fn main() {}
