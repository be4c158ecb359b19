//! One torrent: its pieces, its peers, its policies.

mod allowed_fast;
mod assembly;
mod blame;
mod checking;
pub mod choker;
pub mod geometry;
mod peer_list;
pub mod picker;
mod resume;
mod state;
mod web_source;

pub use allowed_fast::allowed_fast;
pub(crate) use assembly::{Assembly, Source, SourceId};
pub(crate) use blame::Blame;
pub(crate) use checking::Checking;
pub use geometry::Geometry;
pub use peer_list::PeerList;
pub(crate) use peer_list::canonical;
pub use resume::{Resume, ResumeError};
pub(crate) use state::{Ending, Phase, Torrent};
pub(crate) use web_source::WebSource;
