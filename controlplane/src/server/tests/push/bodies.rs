//! Whose bodies hold up whose.

use super::*;

#[test]
fn bodies_that_never_come_hold_nobody_up() {
    let port = open(hub);
    let head = "POST /api/publish HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\n";
    let declared = format!("{head}content-length: 4194304\r\n\r\n");
    let mut silent: Vec<TcpStream> = (0..20).map(|_| port.connect()).collect();
    for stream in &mut silent {
        stream.write_all(declared.as_bytes()).unwrap();
        port.begun.recv_timeout(PATIENCE).unwrap();
    }
    let began = Instant::now();
    for bytes in [1, 4_000_000] {
        let body = format!(r#"{{"channel":"news","data":1,"more":"{}"}}"#, "x".repeat(bytes));
        assert_eq!(port.post("/api/publish", JSON, &body).status, 200);
    }
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
}
