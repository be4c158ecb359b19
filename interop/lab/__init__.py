"""The interoperability lab: real BitTorrent clients, each on a machine of its own, exchanging real torrents."""
