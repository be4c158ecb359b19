use rustor_runtime::http::{HttpClient, Request, Roots};
use rustor_tokio::{
    Client, ClientError, EventStream, TokioRuntime,
    core::{
        event::Event,
        id::TorrentId,
        metainfo::{Magnet, Metainfo},
    },
};

use crate::{
    failure::Failure,
    output::{Output, safe},
    torrent_file,
};

/// A torrent to be had.
pub(super) enum Wanted {
    Torrent(Box<Metainfo>),
    Magnet(Box<Magnet>),
    Url(String),
}

/// Gets the torrent file at `url`.
pub(super) async fn fetch(output: &Output, url: &str) -> Result<Metainfo, Failure> {
    let shown = safe(url).into_owned();
    output.detail(format_args!("fetching {shown}"));
    let request = Request { maximum_body: torrent_file::LARGEST, ..Request::get(url) };
    let response = HttpClient::new(Roots::system()).get(&TokioRuntime::current(), request).await;
    let response = response.map_err(|error| Failure::about(&shown, error))?;
    if response.head.status != 200 {
        return Err(Failure::about(shown, format_args!("the server answered with status {}", response.head.status)));
    }
    torrent_file::parse(output, &shown, response.body)
}

/// Waits until peers have told what a magnet link stands for. `events` has to be older than the torrent.
pub(crate) async fn metadata(client: &Client, torrent: TorrentId, events: &mut EventStream) -> Result<Metainfo, ClientError> {
    loop {
        if let Some(metainfo) = client.metainfo(torrent).await? {
            return Ok(metainfo);
        }
        loop {
            match events.next().await {
                Some(Event::MetadataReceived { torrent: received }) if received == torrent => break,
                Some(Event::MetadataUnusable { torrent: unusable, reason }) if unusable == torrent => {
                    return Err(ClientError::Metadata(reason));
                }
                Some(_) => {}
                None => return Err(ClientError::Stopped),
            }
        }
    }
}
