//! Standard-library sockets with the options that every adapter wants, ready to be handed to a runtime.

use std::io;
use std::net::{SocketAddr, TcpListener, UdpSocket};

use socket2::{Domain, Protocol, Socket, Type};

/// Connections that the operating system may keep waiting until they are accepted.
const BACKLOG: i32 = 1024;

/// A non-blocking TCP listener on `local`.
///
/// An IPv6 socket takes IPv6 only, so that one for each family can share a port. On Unix an address whose old connections
/// linger can be listened on again at once (on Windows that option would let two programs share the port).
pub fn listener(local: SocketAddr) -> io::Result<TcpListener> {
    let socket = socket(local, Type::STREAM, Protocol::TCP)?;
    #[cfg(unix)]
    socket.set_reuse_address(true)?;
    socket.bind(&local.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

/// A non-blocking UDP socket bound to `local`; an IPv6 socket takes IPv6 only.
pub fn datagram(local: SocketAddr) -> io::Result<UdpSocket> {
    let socket = socket(local, Type::DGRAM, Protocol::UDP)?;
    socket.bind(&local.into())?;
    Ok(socket.into())
}

fn socket(local: SocketAddr, kind: Type, protocol: Protocol) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(local), kind, Some(protocol))?;
    if local.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    socket.set_nonblocking(true)?;
    Ok(socket)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_families_share_a_port() {
        let four = listener("127.0.0.1:0".parse().unwrap()).unwrap();
        let port = four.local_addr().unwrap().port();
        match listener(format!("[::]:{port}").parse().unwrap()) {
            Ok(six) => assert_eq!(six.local_addr().unwrap().port(), port),
            // A machine without IPv6 has nothing to share.
            Err(error) => assert_ne!(error.kind(), io::ErrorKind::AddrInUse),
        }
    }

    #[test]
    fn sockets_never_block() {
        let listener = listener("127.0.0.1:0".parse().unwrap()).unwrap();
        assert_eq!(listener.accept().unwrap_err().kind(), io::ErrorKind::WouldBlock);
        let datagram = datagram("127.0.0.1:0".parse().unwrap()).unwrap();
        assert_eq!(datagram.recv_from(&mut [0; 1]).unwrap_err().kind(), io::ErrorKind::WouldBlock);
    }

    #[test]
    fn a_port_in_use_is_refused() {
        let first = listener("127.0.0.1:0".parse().unwrap()).unwrap();
        let error = listener(first.local_addr().unwrap()).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
    }
}
