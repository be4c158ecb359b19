//! One torrent: its pieces, its peers, its policies.

mod allowed_fast;
mod assembly;
mod blame;
mod checking;
pub mod choker;
pub mod geometry;
mod goal;
mod peer_exchange;
mod peer_list;
mod peer_source;
pub mod picker;
mod resume;
mod selection;
mod state;
mod suggest;
pub mod super_seed;
mod web_source;

pub use allowed_fast::allowed_fast;
pub(crate) use assembly::{Assembly, Source, SourceId};
pub(crate) use blame::Blame;
pub(crate) use checking::Checking;
pub use geometry::Geometry;
pub(crate) use goal::GoalWatch;
pub(crate) use peer_exchange::{PeerExchange, ToldPeer};
pub use peer_list::PeerList;
pub(crate) use peer_list::canonical;
pub use peer_source::{PeerSource, PeerSources};
pub use resume::{Resume, ResumeError, ResumePeer};
pub(crate) use selection::{Selection, priorities};
pub(crate) use state::{Earlier, Ending, Phase, Torrent};
pub(crate) use suggest::{Suggesting, Suggestions};
pub(crate) use web_source::WebSource;
