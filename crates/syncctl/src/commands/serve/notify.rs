//! Tells systemd how far the service is (`sd_notify(3)`): one datagram to the socket it names. Whoever
//! started us otherwise names none.

/// Says `READY=1`, `STOPPING=1`, … What cannot be said is not worth failing for.
#[cfg(unix)]
pub(super) fn tell(socket: Option<&str>, what: &str) {
    use std::os::unix::net::UnixDatagram;

    let Some(name) = socket else { return };
    let Ok(sender) = UnixDatagram::unbound() else { return };
    #[cfg(target_os = "linux")]
    if let Some(name) = name.strip_prefix('@') {
        use std::os::linux::net::SocketAddrExt as _;
        if let Ok(address) = std::os::unix::net::SocketAddr::from_abstract_name(name) {
            let _ = sender.send_to_addr(what.as_bytes(), &address);
        }
        return;
    }
    let _ = sender.send_to(what.as_bytes(), name);
}

#[cfg(not(unix))]
pub(super) fn tell(_socket: Option<&str>, _what: &str) {}

#[cfg(all(test, unix))]
mod tests {
    use std::os::unix::net::UnixDatagram;

    use super::*;

    #[test]
    fn the_socket_hears_it() {
        let directory = tempfile::TempDir::new().unwrap();
        let path = directory.path().join("notify");
        let heard = UnixDatagram::bind(&path).unwrap();
        tell(path.to_str(), "READY=1");
        let mut text = [0; 64];
        let length = heard.recv(&mut text).unwrap();
        assert_eq!(&text[..length], b"READY=1");
        // Nobody listens, or nobody asked: nothing happens.
        tell(Some("/nowhere"), "READY=1");
        tell(None, "READY=1");
    }
}
