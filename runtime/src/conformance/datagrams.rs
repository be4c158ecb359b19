//! UDP: sizes up to the limit, both families, waiting.

use core::future::poll_fn;
use core::task::{Context, Poll};
use std::io;
use std::net::{SocketAddr, UdpSocket};

use super::support::{Bell, loopback};
use crate::adapter::{Datagram, Runtime};

/// The longest payload that one datagram from and to `address` can have: 65,535 bytes without the headers that count.
fn longest(address: SocketAddr) -> usize {
    match (cfg!(target_os = "linux"), address.is_ipv4()) {
        (true, true) => 65_507,
        (true, false) => 65_527,
        // What other systems allow without being configured.
        (false, _) => 9216,
    }
}

async fn send<D: Datagram>(socket: &mut D, payload: &[u8], remote: SocketAddr) -> io::Result<usize> {
    poll_fn(|context| socket.poll_send(context, payload, remote)).await
}

async fn receive<D: Datagram>(socket: &mut D, buffer: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
    poll_fn(|context| socket.poll_receive(context, buffer)).await
}

pub async fn a_datagram_arrives_with_its_sender<R: Runtime>(runtime: R) {
    for local in loopback() {
        let (mut one, mut other) = (runtime.bind(local).unwrap(), runtime.bind(local).unwrap());
        let (from, to) = (one.local_address().unwrap(), other.local_address().unwrap());
        assert!(from != to && from.ip() == local.ip() && from.port() != 0);
        let mut buffer = [0; 100];
        assert_eq!(send(&mut one, b"ping", to).await.unwrap(), 4);
        assert_eq!(receive(&mut other, &mut buffer).await.unwrap(), (4, from));
        assert_eq!(&buffer[..4], b"ping");
        assert_eq!(send(&mut other, b"pong!", from).await.unwrap(), 5);
        assert_eq!(receive(&mut one, &mut buffer).await.unwrap(), (5, to));
    }
}

pub async fn every_size_arrives_whole_and_alone<R: Runtime>(runtime: R) {
    for local in loopback() {
        let (mut one, mut other) = (runtime.bind(local).unwrap(), runtime.bind(local).unwrap());
        let (from, to) = (one.local_address().unwrap(), other.local_address().unwrap());
        let mut buffer = vec![0; 1 << 16];
        for size in [0, 1, 1200, 1472, 1500, longest(local)] {
            let payload: Vec<u8> = (0..size).map(|place| (place % 251) as u8).collect();
            assert_eq!(send(&mut one, &payload, to).await.unwrap(), size);
            assert_eq!(receive(&mut other, &mut buffer).await.unwrap(), (size, from));
            assert!(buffer[..size] == payload);
        }
    }
}

pub async fn a_datagram_too_long_is_an_error_and_no_more<R: Runtime>(runtime: R) {
    for local in loopback() {
        let (mut one, mut other) = (runtime.bind(local).unwrap(), runtime.bind(local).unwrap());
        let (from, to) = (one.local_address().unwrap(), other.local_address().unwrap());
        assert!(send(&mut one, &vec![0; 65_528], to).await.is_err());
        send(&mut one, b"short", to).await.unwrap();
        assert_eq!(receive(&mut other, &mut [0; 100]).await.unwrap(), (5, from));
    }
}

pub async fn what_the_buffer_cannot_hold_is_cut<R: Runtime>(runtime: R) {
    if !cfg!(unix) {
        return; // Elsewhere it is an error of the system's.
    }
    let (mut one, mut other) = (runtime.bind(loopback()[0]).unwrap(), runtime.bind(loopback()[0]).unwrap());
    let (from, to) = (one.local_address().unwrap(), other.local_address().unwrap());
    send(&mut one, b"hello", to).await.unwrap();
    send(&mut one, b"again", to).await.unwrap();
    let mut buffer = [0; 4];
    assert_eq!(receive(&mut other, &mut buffer).await.unwrap(), (4, from));
    assert_eq!(&buffer, b"hell");
    receive(&mut other, &mut buffer).await.unwrap();
    assert_eq!(&buffer, b"agai");
}

pub async fn datagrams_to_nobody_break_nothing<R: Runtime>(runtime: R) {
    for local in loopback() {
        let mut one = runtime.bind(local).unwrap();
        let nobody = UdpSocket::bind(local).unwrap().local_addr().unwrap();
        for _ in 0..3 {
            // The system may tell of an earlier one that it found nobody.
            let _ = send(&mut one, b"anyone?", nobody).await;
        }
        let (mut other, from) = (runtime.bind(local).unwrap(), one.local_address().unwrap());
        let to = other.local_address().unwrap();
        while send(&mut one, b"you", to).await.is_err() {}
        assert_eq!(receive(&mut other, &mut [0; 10]).await.unwrap(), (3, from));
    }
}

pub async fn a_waiting_receiver_is_woken_and_can_send_meanwhile<R: Runtime>(runtime: R) {
    let mut ours = runtime.bind(loopback()[0]).unwrap();
    let theirs = UdpSocket::bind(loopback()[0]).unwrap();
    let (here, there) = (ours.local_address().unwrap(), theirs.local_addr().unwrap());
    let bell = Bell::default();
    let mut buffer = [0; 10];
    for _ in 0..3 {
        assert!(ours.poll_receive(&mut Context::from_waker(&bell.waker()), &mut buffer).is_pending());
        send(&mut ours, b"ask", there).await.unwrap();
        assert_eq!(theirs.recv_from(&mut buffer).unwrap(), (3, here));
        theirs.send_to(b"answer", here).unwrap();
        bell.rung().await;
        assert_eq!(receive(&mut ours, &mut buffer).await.unwrap(), (6, there));
    }
}

pub async fn a_burst_is_received_in_order<R: Runtime>(runtime: R) {
    let (mut one, mut other) = (runtime.bind(loopback()[0]).unwrap(), runtime.bind(loopback()[0]).unwrap());
    let to = other.local_address().unwrap();
    for number in 0..50 {
        send(&mut one, &[number; 100], to).await.unwrap();
    }
    let mut buffer = [0; 200];
    for number in 0..50 {
        assert_eq!(receive(&mut other, &mut buffer).await.unwrap().0, 100);
        assert_eq!(buffer[..100], [number; 100]);
    }
    let nothing: Poll<_> = other.poll_receive(&mut Context::from_waker(&Bell::default().waker()), &mut buffer);
    assert!(nothing.is_pending());
}
