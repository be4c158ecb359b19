//! Trackers: announce policy, HTTP codec, and a small tracker.
