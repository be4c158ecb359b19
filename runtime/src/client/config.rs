use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    path::PathBuf,
};

use rustor_core::{config::Config, rng::Seed};

use crate::{disk::DiskConfig, http::Roots, resume};

/// How a [`Client`](crate::Client) is set up.
#[derive(Clone, Debug)]
pub struct ClientConfig {
    /// The addresses of this machine on which peers are let in, all with the same port; none for a client that only connects.
    /// An IPv6 address that cannot be listened on is left out if there is another. Default: all IPv4 and all IPv6 addresses.
    pub listen: Vec<IpAddr>,
    /// The port to listen on; 0 for any that is free. Default 6881.
    pub port: u16,
    /// Where resume data is kept; `None` to keep none. Default: the operating system's place for such things.
    pub state_folder: Option<PathBuf>,
    /// How many disk workers there are, and how they work.
    pub disk: DiskConfig,
    /// Buffers of [`Config::read_limit`] bytes that are kept for the next socket read. Default 64.
    pub read_buffers: usize,
    /// Whose certificates are trusted where trackers use HTTPS. Default: those that the operating system trusts.
    pub certificates: Roots,
    /// The `User-Agent` that HTTP servers see. Default: `RusTor/` and the version.
    pub user_agent: Option<String>,
    /// How the engine behaves.
    pub engine: Config,
    /// What the engine's randomness starts from; drawn from the operating system where `None`, which is the default.
    pub seed: Option<Seed>,
    /// Write all that the engine is told into this file, payload left out, so that the session can be replayed: see
    /// [`record`](rustor_core::record). Default: no.
    pub record: Option<PathBuf>,
    /// Keep addresses out of the recording: the engine is told others, by which peers are called in it. Everything else is as ever. See
    /// [`AddressMask`](rustor_core::record::AddressMask) for what is replaced and what is kept. Default: no.
    pub mask_addresses: bool,
}

impl Default for ClientConfig {
    fn default() -> ClientConfig {
        ClientConfig {
            listen: vec![Ipv4Addr::UNSPECIFIED.into(), Ipv6Addr::UNSPECIFIED.into()],
            port: 6881,
            state_folder: resume::state_folder(),
            disk: DiskConfig::default(),
            read_buffers: 64,
            certificates: Roots::system(),
            user_agent: None,
            engine: Config::default(),
            seed: None,
            record: None,
            mask_addresses: false,
        }
    }
}
