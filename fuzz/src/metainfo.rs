use bytes::Bytes;
use rustor_core::{
    bencode::Options,
    metainfo::{Info, InfoHash, Metainfo, sanitise},
};
use std::collections::BTreeSet;

/// Reads `data` as a torrent file and as an info dictionary, strictly and leniently, checks what came out, and writes it again.
pub fn metainfo(data: &[u8]) {
    let bytes = Bytes::copy_from_slice(data);
    let strict = Metainfo::parse(bytes.clone());
    let lenient = Metainfo::parse_with(bytes.clone(), Options::LENIENT);
    if strict.is_ok() {
        assert_eq!(strict, lenient, "lenient reading must not change what is correct");
    }
    for (result, options) in [(strict, Options::STRICT), (lenient, Options::LENIENT)] {
        match result {
            Ok(metainfo) => {
                check_info(&metainfo.info, &bytes);
                assert!(metainfo.trackers.iter().all(|tier| !tier.is_empty() && tier.iter().all(|url| !url.is_empty())));
                let written = metainfo.to_bytes();
                let again = Metainfo::parse_with(written.clone().into(), options).expect("what is written reads back");
                assert_eq!(again, metainfo);
                assert_eq!(again.to_bytes(), written);
                let alone = Info::parse_with(metainfo.info.raw().clone(), options);
                assert_eq!(alone.as_ref(), Ok(&metainfo.info));
            }
            Err(error) => assert!(!error.to_string().is_empty()),
        }
    }
    if let Ok(info) = Info::parse(bytes.clone()) {
        check_info(&info, &bytes);
        assert_eq!(info.raw(), data);
    }
    check_name(&sanitise(data));
}

fn check_info(info: &Info, bytes: &Bytes) {
    let (inside, outside) = (info.raw().as_ptr_range(), bytes.as_ptr_range());
    assert!(outside.start <= inside.start && inside.end <= outside.end);
    assert_eq!(info.info_hash(), InfoHash::of(info.raw()));

    let mut offset = 0;
    for file in info.files() {
        assert_eq!(file.offset(), offset);
        offset += file.length();
    }
    assert!(!info.files().is_empty() && offset == info.total_length() && offset < 1 << 63);
    assert_eq!(info.pieces().len(), info.piece_count() as usize * 20);
    let sizes = (0..).map_while(|piece| info.piece_size(piece)).map(u64::from);
    assert_eq!(sizes.clone().count(), info.piece_count() as usize);
    assert_eq!(sizes.sum::<u64>(), info.total_length());
    assert!(info.piece_hash(info.piece_count()).is_none());

    check_name(info.name());
    let mut files = BTreeSet::new();
    let mut folders = BTreeSet::new();
    for file in info.files() {
        file.components().for_each(check_name);
        assert!(!file.attributes().symlink || file.length() == 0);
        if file.is_padding() {
            continue;
        }
        let path = fold(file.path());
        folders.extend(path.match_indices('/').map(|(end, _)| path[..end].to_owned()));
        assert!(files.insert(path), "two files share {}", file.path());
    }
    assert!(files.is_disjoint(&folders), "a file is where a folder is");
    for target in info.files().iter().filter_map(|file| file.symlink()).map(fold) {
        assert!(files.contains(&target) || folders.contains(&target), "a link leads to {target}");
    }
}

/// What paths that some system takes for the same have in common.
fn fold(path: &str) -> String {
    path.split('/').map(|component| component.trim_end_matches(['.', ' ']).to_lowercase()).collect::<Vec<_>>().join("/")
}

fn check_name(name: &str) {
    assert!(!name.is_empty() && name.len() <= 255 && name != "." && name != "..", "{name:?}");
    assert!(!name.contains(['/', '\\']) && !name.chars().any(char::is_control), "{name:?}");
    assert_eq!(sanitise(name.as_bytes()), name, "a safe name stays as it is");
}
