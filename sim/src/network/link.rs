use super::Nat;
use crate::units::{Rate, Size, Span};
use serde::{Deserialize, Serialize};

/// How a node is connected to the middle of the network, where all links meet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Link {
    /// What leaves; no limit if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub up: Option<Rate>,
    /// What comes in; no limit if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub down: Option<Rate>,
    /// From the node to the middle, each way.
    pub delay: Span,
    /// At most so much is added to the delay, drawn anew each time.
    pub jitter: Span,
    /// Bytes of datagrams that wait for the way out; what comes on top is dropped. Streams wait at their senders.
    pub queue: Size,
    /// Of a hundred datagrams, or segments of streams, so many are lost on the way out; streams send them again.
    pub loss: u8,
    /// How many are lost in a row, on average.
    pub burst: u32,
    /// Of a hundred datagrams, so many take a way that is longer by twice the jitter and 10 ms.
    pub reorder: u8,
    /// Of a hundred datagrams, so many arrive twice.
    pub duplicate: u8,
    /// Longer datagrams vanish, both ways, as behind a router that does not say that they are too long.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub largest_datagram: Option<Size>,
    /// The router that the node stands behind; anybody can reach it if there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub nat: Option<Nat>,
}

impl Default for Link {
    fn default() -> Link {
        Link {
            up: None,
            down: None,
            delay: Span::millis(10),
            jitter: Span::ZERO,
            queue: Size(64 << 10),
            loss: 0,
            burst: 1,
            reorder: 0,
            duplicate: 0,
            largest_datagram: None,
            nat: None,
        }
    }
}

impl Link {
    /// A link that sends so many bytes a second, and takes in any number.
    pub fn uploading(rate: u64) -> Link {
        Link { up: Some(Rate(rate)), ..Link::default() }
    }

    /// A link that loses so many packets of a hundred.
    pub fn lossy(percent: u8) -> Link {
        Link { loss: percent, ..Link::default() }
    }

    /// A link with the same rate both ways, in bytes a second.
    pub fn symmetric(rate: u64) -> Link {
        Link { up: Some(Rate(rate)), down: Some(Rate(rate)), ..Link::default() }
    }
}
