//! Bencode (BEP 3): a borrowed decoder and a canonical encoder.
