//! A deterministic, sans-IO BitTorrent engine: bytes and time in, actions and events out.
#![no_std]
#![forbid(unsafe_code)]
#![deny(clippy::float_arithmetic)]
#![cfg_attr(not(test), deny(clippy::unwrap_used, clippy::expect_used, clippy::panic))]

extern crate alloc;
#[cfg(test)]
extern crate std;

pub mod action;
pub mod bencode;
pub mod command;
pub mod config;
pub mod engine;
pub mod error;
pub mod event;
pub mod id;
pub mod input;
pub mod metainfo;
pub mod peer;
pub mod record;
pub mod rng;
pub mod status;
pub mod storage;
pub mod time;
pub mod torrent;
pub mod tracker;
pub mod util;
pub mod wire;
