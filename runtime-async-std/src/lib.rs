//! The engine on async-std.
