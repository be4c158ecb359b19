//! Name look-ups that need no name server.

use std::net::SocketAddr;

use crate::adapter::Runtime;

pub async fn an_address_resolves_to_itself<R: Runtime>(runtime: R) {
    for (text, address) in [("127.0.0.1", "127.0.0.1:6969"), ("203.0.113.7", "203.0.113.7:6969"), ("2001:db8::7", "[2001:db8::7]:6969")] {
        assert_eq!(runtime.resolve(text.into(), 6969).await.unwrap(), [address.parse::<SocketAddr>().unwrap()]);
    }
}

pub async fn localhost_is_this_machine<R: Runtime>(runtime: R) {
    let addresses = runtime.resolve("localhost".into(), 80).await.unwrap();
    assert!(!addresses.is_empty());
    assert!(addresses.iter().all(|address| address.ip().is_loopback() && address.port() == 80), "{addresses:?}");
}

pub async fn a_name_that_cannot_be_is_an_error<R: Runtime>(runtime: R) {
    // A label of more than 63 bytes, and a byte that ends a name in C.
    for name in [format!("{}.invalid", "x".repeat(64)), "a\0b".into()] {
        assert!(runtime.resolve(name, 80).await.is_err());
    }
}

pub async fn many_names_are_looked_up_at_once<R: Runtime>(runtime: R) {
    let mut lookups: Vec<_> = (0..50).map(|port| Box::pin(runtime.resolve("localhost".into(), port))).collect();
    // Some are given up.
    lookups.truncate(40);
    for (port, lookup) in lookups.into_iter().enumerate() {
        assert!(lookup.await.unwrap().iter().all(|address| usize::from(address.port()) == port));
    }
}
