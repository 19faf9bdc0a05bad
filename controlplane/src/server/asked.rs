//! What a page is asked: a request whose body has been read.

use hyper::HeaderMap;

/// A request whose body has been read.
pub struct Asked {
    /// `a=1&b=2`, as it came.
    pub query: String,
    pub headers: HeaderMap,
}
