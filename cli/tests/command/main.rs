//! Runs the command `rustor` as people and scripts do.

mod bad_input;
#[cfg(unix)]
mod demo;
mod files;
mod lab;
mod links;
#[cfg(unix)]
mod magnets;
mod peer;
mod sim;
#[cfg(unix)]
mod transfer;
