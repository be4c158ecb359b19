use rustor_core::metainfo::Magnet;

/// Reads `data` as a magnet link, and what it says when printed.
pub fn magnet(data: &[u8]) {
    match String::from_utf8_lossy(data).parse::<Magnet>() {
        Ok(magnet) => {
            assert!(!magnet.topics.is_empty());
            assert!(magnet.selected.iter().all(|range| !range.is_empty() && magnet.selects(*range.start())));
            let text = magnet.to_string();
            assert!(text.is_ascii() && !text.contains(char::is_whitespace));
            // Escapes may take more room than there is: only then it does not read back.
            if text.len() <= rustor_core::metainfo::MAX_MAGNET_LENGTH {
                assert_eq!(text.parse(), Ok(magnet));
            }
        }
        Err(error) => assert!(!error.to_string().is_empty()),
    }
}
