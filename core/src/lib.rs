//! A deterministic, sans-IO BitTorrent engine: bytes and time in, actions and events out.
//!
//! The engine opens no socket, reads no clock, touches no file and draws no randomness of its own. A *host* tells it what happened
//! ([`Input`](input::Input)) and does what it says ([`Action`](action::Action)); an *owner* tells it what to do
//! ([`Command`](command::Command)) and may listen to what it has to tell ([`Event`](event::Event)). The same seed and the same inputs give
//! the same actions, byte for byte, in debug and release, on every platform.
//!
//! # The run loop
//!
//! Whatever the host looks like, it comes down to this:
//!
//! 1. wait until something happens or [`Engine::next_deadline`](engine::Engine::next_deadline) has passed,
//! 2. tell it with [`Engine::handle`](engine::Engine::handle); several times, if several things happened,
//! 3. do everything that [`Engine::poll_action`](engine::Engine::poll_action) says until it says `None`, in that order,
//! 4. look at [`Engine::poll_event`](engine::Engine::poll_event), and go on with 1.
//!
//! Every action that starts something carries an id and is answered by exactly one input, in any order and after any delay; what was
//! under way when a connection is closed or a fetch cancelled by one at most. A
//! connection has at most one read and one write under way: back-pressure and rate limits are the engine withholding the next one.
//!
//! Here is a whole host, of a world in which nobody answers and the disk is always empty. Real ones are in `rustor-tokio` and
//! `rustor-async-std`; a simulated one, with any number of engines and one clock, is `rustor-sim`.
//!
//! ```
//! use rustor_core::{
//!     action::Action,
//!     command::{AddTorrent, Command, Reply},
//!     config::Config,
//!     engine::Engine,
//!     error::{HttpError, StreamError},
//!     input::Input,
//!     metainfo::Metainfo,
//!     rng::Seed,
//!     status::TorrentState,
//!     storage::{DiskOperation, DiskOutput},
//!     time::Instant,
//! };
//!
//! let torrent = "d8:announce19:http://tracker:6969\
//!     4:infod6:lengthi5e4:name5:hello12:piece lengthi16384e6:pieces20:aaaaaaaaaaaaaaaaaaaaee";
//! let add = AddTorrent { peers: vec!["192.0.2.1:6881".parse()?], ..AddTorrent::new(Metainfo::parse(torrent.into())?, "downloads") };
//!
//! let mut now = Instant::ZERO;
//! let mut engine = Engine::new(Config::default(), Seed::from_u64(1), now);
//! let Reply::Added(torrent) = engine.command(now, Command::Add(Box::new(add)))? else { unreachable!() };
//! let mut connects = 0;
//! while now < Instant::from_micros(120_000_000) {
//!     while let Some(action) = engine.poll_action() {
//!         let answer = match action {
//!             Action::Disk { job, operation, .. } => {
//!                 let output = match operation {
//!                     DiskOperation::Open { layout, .. } => DiskOutput::Opened(vec![None; layout.files().len()]),
//!                     _ => DiskOutput::Done,
//!                 };
//!                 Input::Disk { job, result: Ok(output) }
//!             }
//!             Action::Connect { connection, .. } => {
//!                 connects += 1;
//!                 Input::Connected { connection, result: Err(StreamError::Refused) }
//!             }
//!             Action::Http { request, .. } => Input::Http { request, result: Err(HttpError::Failed("no network".into())) },
//!             _ => continue,
//!         };
//!         engine.handle(now, answer);
//!     }
//!     // Nothing else happens here: on to the next moment that the engine cares about.
//!     let Some(deadline) = engine.next_deadline() else { break };
//!     assert!(deadline > now);
//!     now = deadline;
//!     engine.handle(now, Input::Timeout);
//! }
//! assert_eq!(engine.torrent(torrent).unwrap().state, TorrentState::Downloading);
//! // The peer was tried at once, after 30 s, and after a minute more.
//! assert_eq!(connects, 3);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # The parts
//!
//! Each can be used alone: [`bencode`], [`metainfo`], [`wire`], [`tracker`] with its announcer, codecs and a small tracker, the
//! [picker](torrent::picker), the [choker](torrent::choker), [`storage`], the [web seed](web_seed). The [`engine`] composes them.
//!
//! No item of this crate panics on what a peer, a tracker, a disk or a torrent file says.

#![no_std]
#![forbid(unsafe_code)]
#![deny(clippy::float_arithmetic)]
#![cfg_attr(not(test), deny(clippy::unwrap_used, clippy::expect_used, clippy::panic))]

extern crate alloc;
#[cfg(test)]
extern crate std;

pub mod action;
pub mod bencode;
pub mod choices;
pub mod command;
pub mod config;
pub mod engine;
pub mod error;
pub mod event;
pub mod id;
pub mod input;
pub mod local_discovery;
pub mod metadata;
pub mod metainfo;
pub mod peer;
pub mod pex;
pub mod record;
pub mod rng;
pub mod status;
pub mod storage;
pub mod time;
pub mod torrent;
pub mod tracker;
pub mod util;
pub mod web_seed;
pub mod wire;
