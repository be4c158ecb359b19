//! The engine on tokio.
