//! Listeners: opened, taken over, closed, without a moment in which nobody listens.

use super::*;
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

/// Runs on a control thread of its own.
fn on_a_control_thread<F: Future<Output = ()>>(life: impl FnOnce(Rc<State>) -> F) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let (begun, _) = channel();
    let (ended, _) = channel();
    let (told, _) = channel();
    let life = async { life(Rc::new(state(Fake::default(), begun, ended, told))).await };
    tokio::task::LocalSet::new().block_on(&runtime, life);
}

fn open(sets: &[&str]) -> Result<Prepared, String> {
    Prepared::open(&config(sets).control, &mut Vec::new())
}

/// Asks over a socket that blocks, while the control thread serves it.
async fn answers(mut stream: impl Read + Write + Send + 'static) -> bool {
    let asking = move || {
        let request = "GET /livez HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n";
        let mut text = String::new();
        stream.write_all(request.as_bytes()).is_ok()
            && stream.read_to_string(&mut text).is_ok()
            && text.starts_with("HTTP/1.1 200")
    };
    tokio::task::spawn_blocking(asking).await.unwrap()
}

fn folder(name: &str) -> PathBuf {
    let folder = std::env::temp_dir().join(format!("ringway-ports-{}-{name}", std::process::id()));
    let _ = std::fs::remove_dir_all(&folder);
    std::fs::create_dir_all(&folder).unwrap();
    folder
}

fn mode_of(path: &Path) -> u32 {
    std::fs::metadata(path).unwrap().permissions().mode() & 0o777
}

fn serving(state: Rc<State>, prepared: Prepared) -> Ports {
    let ports = Ports::of(state, prepared);
    ports.open();
    ports
}

#[test]
fn a_change_opens_what_is_new_closes_what_is_gone_and_keeps_the_rest() {
    on_a_control_thread(|state| async move {
        let any = "control.listen=[127.0.0.1:0]";
        let ports = serving(state, open(&[any]).unwrap());
        let first = ports.addresses().http[0];
        let more = config(&["control.listen=[127.0.0.1:0, 127.0.0.2:0]"]);
        let prepared = ports.prepare(&more.control).unwrap();
        assert_eq!(prepared.addresses().http.len(), 1, "the other is kept");
        ports.commit(prepared);
        let both = ports.addresses().http;
        assert_eq!((both[0], both.len()), (first, 2));
        for address in &both {
            assert!(answers(TcpStream::connect(address).unwrap()).await, "{address}");
        }
        // What is prepared and dropped changes nothing.
        drop(ports.prepare(&config(&["control.listen=[]"]).control).unwrap());
        assert_eq!(ports.addresses().http, both);
        ports.commit(ports.prepare(&config(&["control.listen=[127.0.0.2:0]"]).control).unwrap());
        assert_eq!(ports.addresses().http, [both[1]]);
        assert!(answers(TcpStream::connect(both[1]).unwrap()).await);
        // Its task is told; it closes at its next turn.
        tokio::task::yield_now().await;
        assert!(TcpStream::connect(first).is_err());
        ports.stop().await;
        assert!(TcpStream::connect(both[1]).is_err());
    });
}

#[test]
fn a_failed_preparation_names_the_address_and_keeps_everything() {
    on_a_control_thread(|state| async move {
        let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let _held = std::net::TcpListener::bind(taken).unwrap();
        let ports = serving(state, open(&["control.listen=[127.0.0.1:0]"]).unwrap());
        let own = ports.addresses().http[0];
        let fault = ports.prepare(&config(&[&format!("control.listen=[{taken}]")]).control).map(drop);
        assert!(fault.unwrap_err().contains(&taken.to_string()));
        let wide = config(&[&format!("control.listen=[0.0.0.0:{}]", own.port()), "control.insecure=true"]);
        let fault = ports.prepare(&wide.control).map(drop).unwrap_err();
        assert!(fault.contains("ringway listens on that port with another address"), "{fault}");
        assert!(answers(TcpStream::connect(own).unwrap()).await);
        ports.stop().await;
    });
}

#[test]
fn a_unix_socket_has_its_mode_from_the_first_moment_and_goes_with_its_listener() {
    let folder = folder("unix");
    let path = folder.join("control.sock");
    let at = format!("control.unix={}", path.display());
    on_a_control_thread(|state| async move {
        let ports = serving(state, open(&["control.listen=[]", &at]).unwrap());
        assert_eq!((mode_of(&path), ports.addresses().unix.as_deref()), (0o600, Some(&*path)));
        assert!(answers(UnixStream::connect(&path).unwrap()).await);
        let answered = open(&["control.listen=[]", &at]).map(drop).unwrap_err();
        assert!(answered.contains("another process answers there"), "{answered}");
        // Other permissions: the same socket.
        let wider = config(&["control.listen=[]", &at, "control.unix_mode=0666"]);
        drop(ports.prepare(&wider.control).unwrap());
        assert_eq!(mode_of(&path), 0o600);
        ports.commit(ports.prepare(&wider.control).unwrap());
        tokio::task::yield_now().await;
        assert_eq!(mode_of(&path), 0o666);
        assert!(answers(UnixStream::connect(&path).unwrap()).await);
        // Another path.
        let other = folder.join("other.sock");
        let moved = config(&["control.listen=[]", &format!("control.unix={}", other.display())]);
        ports.commit(ports.prepare(&moved.control).unwrap());
        assert!(answers(UnixStream::connect(&other).unwrap()).await);
        assert!(!path.exists());
        ports.stop().await;
        assert!(!other.exists());
    });
}

#[test]
fn who_asks_at_the_unix_socket_and_never_reads_loses_the_seat() {
    let path = folder("unread").join("control.sock");
    let at = format!("control.unix={}", path.display());
    on_a_control_thread(|state| async move {
        let ports = serving(state, open(&["control.listen=[]", &at]).unwrap());
        let mut stream = UnixStream::connect(&path).unwrap();
        let asking = move || {
            stream.set_write_timeout(Some(PATIENCE)).unwrap();
            let request = "GET /nothing HTTP/1.1\r\nhost: localhost\r\n\r\n".repeat(100);
            loop {
                if let Err(error) = stream.write_all(request.as_bytes()) {
                    return error.kind();
                }
            }
        };
        let ended = tokio::task::spawn_blocking(asking).await.unwrap();
        // The other end closed it, with or without something unread in it.
        let closed = [std::io::ErrorKind::BrokenPipe, std::io::ErrorKind::ConnectionReset];
        assert!(closed.contains(&ended), "{ended}");
        ports.stop().await;
    });
}

#[test]
fn other_users_leave_half_of_the_unix_sockets_seats() {
    let (own, stranger) = (rustix::process::geteuid().as_raw(), rustix::process::geteuid().as_raw() + 1);
    let of = |most, uid| crate::server::unix_seats(most, uid);
    assert_eq!([of(64, Some(0)), of(64, Some(own)), of(64, Some(stranger)), of(64, None)], [64, 64, 32, 32]);
    assert_eq!(of(1, Some(stranger)), 1);
}

#[test]
fn only_a_socket_that_nobody_answers_on_is_replaced() {
    let folder = &folder("stale");
    let at = |name: &str| format!("control.unix={}", folder.join(name).display());
    on_a_control_thread(|state| async move {
        drop(UnixListener::bind(folder.join("stale")).unwrap());
        let ports = serving(state, open(&["control.listen=[]", &at("stale")]).unwrap());
        assert!(answers(UnixStream::connect(folder.join("stale")).unwrap()).await);
        std::fs::write(folder.join("file"), "precious").unwrap();
        std::os::unix::fs::symlink(folder.join("file"), folder.join("link")).unwrap();
        for name in ["file", "link"] {
            let fault = open(&["control.listen=[]", &at(name)]).map(drop).unwrap_err();
            assert!(fault.contains("control.unix") && fault.contains("no socket"), "{fault}");
        }
        assert_eq!(std::fs::read_to_string(folder.join("file")).unwrap(), "precious");
        let nowhere = open(&["control.listen=[]", &at("none/x")]).map(drop).unwrap_err();
        assert!(nowhere.contains("no such folder"), "{nowhere}");
        // Somebody else's socket in its place is not taken along.
        std::fs::remove_file(folder.join("stale")).unwrap();
        let _other = UnixListener::bind(folder.join("stale")).unwrap();
        ports.stop().await;
        assert!(folder.join("stale").exists());
    });
}

#[test]
fn a_successor_takes_the_very_sockets_and_the_file_stays() {
    let path = folder("successor").join("control.sock");
    let sets = ["control.listen=[127.0.0.1:0]", &format!("control.unix={}", path.display())];
    on_a_control_thread(|state| async move {
        let ports = serving(state.clone(), open(&sets).unwrap());
        let address = ports.addresses().http[0];
        let mut inherited = ports.listeners().unwrap();
        let stranger = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        inherited.insert(0, OwnedFd::from(stranger));
        // The stranger has the address but not the port that is wanted.
        let wanted = config(&[&format!("control.listen=[{address}]"), sets[1]]);
        let prepared = Prepared::open(&wanted.control, &mut inherited).unwrap();
        assert_eq!((prepared.addresses(), inherited.len()), (ports.addresses(), 1));
        ports.leave_files(true);
        ports.stop().await;
        let successor = serving(state, prepared);
        assert!(answers(TcpStream::connect(address).unwrap()).await);
        assert!(answers(UnixStream::connect(&path).unwrap()).await);
        successor.leave_files(false);
        successor.stop().await;
        assert!(!path.exists());
    });
}
