use super::ROUND_TRIP;
use crate::{units::Span, world::World};
use rustor_core::time::Duration;
use serde::{Deserialize, Serialize};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// What is wrong with all name servers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum NameFault {
    /// They do not answer.
    Absent,
    /// They take so long.
    Slow(Span),
    /// They say that there is no such name.
    Unknown,
    /// They name addresses where nobody is.
    Wrong,
}

impl World {
    /// Lets all name servers do wrong from now on, or not any more.
    pub fn set_name_fault(&mut self, fault: Option<NameFault>) {
        self.names = fault;
    }
}

/// How long a resolver goes on asking.
const NAME_TIMEOUT: Duration = Duration::from_secs(20);
/// Where nobody is.
const NOWHERE: [IpAddr; 2] = [IpAddr::V4(Ipv4Addr::new(10, 254, 254, 254)), IpAddr::V6(Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0xfffe, 0, 1))];

impl NameFault {
    /// What a name server makes of a name that stands for `truth`, and how long that takes.
    pub(crate) fn resolve(fault: Option<NameFault>, truth: Option<[IpAddr; 2]>) -> (Duration, Result<[IpAddr; 2], &'static str>) {
        let known = truth.ok_or("there is no such name in this world");
        match fault {
            None => (ROUND_TRIP / 2, known),
            Some(NameFault::Absent) => (NAME_TIMEOUT, Err("no name server answers")),
            Some(NameFault::Slow(span)) if span.duration() < NAME_TIMEOUT => (span.duration(), known),
            Some(NameFault::Slow(_)) => (NAME_TIMEOUT, Err("no name server answered in time")),
            Some(NameFault::Unknown) => (ROUND_TRIP / 2, Err("no such name")),
            Some(NameFault::Wrong) => (ROUND_TRIP / 2, known.map(|_| NOWHERE)),
        }
    }
}
