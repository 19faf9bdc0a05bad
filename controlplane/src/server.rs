//! stand-in until the server is merged
pub fn bind(_: &[std::net::SocketAddr]) -> Result<Vec<tokio::net::TcpListener>, String> {
    Ok(vec![])
}
