//! Standard-library sockets that belong to a multicast group, one for each network that this machine is part of.

use std::io;
use std::net::{SocketAddr, UdpSocket};

use socket2::{Domain, InterfaceIndexOrAddress, Protocol, Socket, Type};

/// How many routers a datagram may pass: enough for any site, and its groups lead no further.
const HOPS: u32 = 8;
/// Networks in which a group is joined at most.
#[cfg(any(target_os = "linux", target_os = "android"))]
const MAX_NETWORKS: usize = 16;

/// Non-blocking UDP sockets that send to `group` and receive what others send there, those on this machine included. They share
/// the group's port with those of other programs.
///
/// Empty where this machine can do no multicast.
pub(crate) fn join(group: SocketAddr) -> Vec<UdpSocket> {
    let on_each: Vec<UdpSocket> = interfaces().iter().filter_map(|interface| open(group, Some(interface)).ok()).collect();
    if on_each.is_empty() { open(group, None).into_iter().collect() } else { on_each }
}

/// A way into a network.
#[derive(Debug)]
struct Interface {
    #[cfg(any(target_os = "linux", target_os = "android"))]
    name: Vec<u8>,
    index: u32,
}

/// A member of `group` on one interface, or on the one that the system prefers.
fn open(group: SocketAddr, interface: Option<&Interface>) -> io::Result<UdpSocket> {
    let socket = Socket::new(Domain::for_address(group), Type::DGRAM, Some(Protocol::UDP))?;
    socket.set_nonblocking(true)?;
    // All clients of a machine listen on the same port.
    socket.set_reuse_address(true)?;
    // On Linux the option above does, and this one would keep clients of different users from sharing.
    #[cfg(all(
        unix,
        not(any(target_os = "linux", target_os = "android", target_os = "solaris", target_os = "illumos", target_os = "cygwin"))
    ))]
    socket.set_reuse_port(true)?;
    #[cfg(any(target_os = "linux", target_os = "android"))]
    if let Some(interface) = interface {
        socket.bind_device(Some(&interface.name))?;
    }
    let index = interface.map_or(0, |interface| interface.index);
    match group {
        SocketAddr::V4(group) => {
            socket.set_multicast_ttl_v4(HOPS)?;
            socket.set_multicast_loop_v4(true)?;
            socket.bind(&local(group.into()).into())?;
            socket.join_multicast_v4_n(group.ip(), &InterfaceIndexOrAddress::Index(index))?;
        }
        SocketAddr::V6(group) => {
            socket.set_only_v6(true)?;
            socket.set_multicast_hops_v6(HOPS)?;
            socket.set_multicast_loop_v6(true)?;
            socket.set_multicast_if_v6(index)?;
            socket.bind(&local(group.into()).into())?;
            socket.join_multicast_v6(group.ip(), index)?;
        }
    }
    Ok(socket.into())
}

/// Where a member of `group` is bound. Linux then delivers what was sent to the group alone, and nothing that somebody far away
/// sent to this machine; other systems cannot be told so.
fn local(group: SocketAddr) -> SocketAddr {
    if cfg!(any(target_os = "linux", target_os = "android")) {
        return group;
    }
    let any = if group.is_ipv4() { std::net::Ipv4Addr::UNSPECIFIED.into() } else { std::net::Ipv6Addr::UNSPECIFIED.into() };
    SocketAddr::new(any, group.port())
}

/// The interfaces that are up and know multicast; the loopback alone where there is no other.
#[cfg(any(target_os = "linux", target_os = "android"))]
fn interfaces() -> Vec<Interface> {
    use std::os::unix::ffi::OsStringExt;
    const UP: u32 = 1;
    const LOOPBACK: u32 = 8;
    const MULTICAST: u32 = 0x1000;
    let (mut outward, mut loopback) = (Vec::new(), Vec::new());
    for entry in std::fs::read_dir("/sys/class/net").into_iter().flatten().flatten() {
        let read = |name: &str| std::fs::read_to_string(entry.path().join(name)).ok();
        let flags = read("flags").and_then(|flags| u32::from_str_radix(flags.trim().trim_start_matches("0x"), 16).ok());
        let index = read("ifindex").and_then(|index| index.trim().parse().ok());
        let (Some(flags), Some(index)) = (flags, index) else { continue };
        // What is plugged into a bridge is reached through the bridge.
        if flags & UP == 0 || entry.path().join("master").exists() {
            continue;
        }
        let interface = Interface { name: entry.file_name().into_vec(), index };
        if flags & LOOPBACK != 0 {
            loopback.push(interface);
        } else if flags & MULTICAST != 0 {
            outward.push(interface);
        }
    }
    outward.sort_by_key(|interface| interface.index);
    outward.truncate(MAX_NETWORKS);
    if outward.is_empty() { loopback } else { outward }
}

/// None that we know of: the system's choice has to do.
#[cfg(not(any(target_os = "linux", target_os = "android")))]
fn interfaces() -> Vec<Interface> {
    Vec::new()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::adapter::socket::datagram;
    use socket2::SockRef;
    use std::time::Duration;

    /// Groups that nobody else uses.
    const GROUPS: [&str; 2] = ["239.192.77.77:0", "[ff15::7777]:0"];

    #[test]
    fn members_of_one_machine_share_a_port_and_hear_each_other() {
        for group in GROUPS {
            let mut group: SocketAddr = group.parse().unwrap();
            let Ok(free) = datagram(local(group)) else { continue };
            group.set_port(free.local_addr().unwrap().port());
            drop(free);
            let (one, other) = (join(group), join(group));
            if one.is_empty() {
                eprintln!("this machine has no multicast over {}", if group.is_ipv4() { "IPv4" } else { "IPv6" });
                continue;
            }
            assert_eq!(one.len(), other.len());
            for (one, other) in one.iter().zip(&other) {
                let ttl = if group.is_ipv4() { one.multicast_ttl_v4() } else { SockRef::from(one).multicast_hops_v6() };
                assert!(ttl.unwrap() > 1, "a group reaches further than one link");
                // Not every interface has an address to send from.
                if one.send_to(b"here", group).is_ok() {
                    other.set_nonblocking(false).unwrap();
                    other.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
                    let mut buffer = [0; 10];
                    assert_eq!(other.recv_from(&mut buffer).unwrap().0, 4, "{group}");
                    assert_eq!(&buffer[..4], b"here");
                }
            }
        }
    }
}
