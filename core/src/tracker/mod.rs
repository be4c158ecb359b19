//! Trackers: announce policy, HTTP codec, and a small tracker.

/// Placeholder until the room is furnished.
#[derive(Clone, Debug, Default)]
pub struct AnnouncerConfig;
