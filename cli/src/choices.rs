//! What may be chosen for torrents on the command line.

use std::{collections::BTreeMap, ops::RangeInclusive, str::FromStr, time::Duration};

use clap::Args;
use glob::{MatchOptions, Pattern};
use rustor_tokio::core::{
    choices::{Choices, Priority, RateLimits, SeedingGoal},
    metainfo::{File, Info},
};

use crate::output::{parse_rate, parse_ratio, parse_span, plural};

/// How names of files are compared: torrents are others' work, and nobody knows their capitals by heart.
const MATCHING: MatchOptions = MatchOptions { case_sensitive: false, require_literal_separator: true, require_literal_leading_dot: false };

/// Which files to download.
#[derive(Debug, Args)]
pub(crate) struct Selection {
    /// Fetch these files alone, by their numbers in 'rustor show', such as 1,3-5 or 7-
    #[arg(long, value_name = "NUMBERS", help_heading = "Files")]
    files: Option<Numbers>,
    /// Fetch files and folders with such a name alone, such as '*.mkv' or 'cd 1/*'; may be given several times
    #[arg(long = "match", value_name = "GLOB", value_parser = Pattern::from_str, help_heading = "Files")]
    patterns: Vec<Pattern>,
}

impl Selection {
    /// Wants the files selected, and no others. Where nothing is, what a magnet link selects (BEP 53), and where that is nothing, all.
    /// In words for people why that cannot be.
    pub(crate) fn apply(&self, info: &Info, link: &[RangeInclusive<u32>], choices: &mut Choices) -> Result<(), String> {
        let count = info.files().len() as u32;
        choices.files.clear();
        choices.other_files = Priority::Skip;
        if self.files.is_none() && self.patterns.is_empty() {
            let selected = (0..count).filter(|place| link.iter().any(|range| range.contains(place)));
            choices.files = selected.map(|place| (place, Priority::Normal)).collect();
            if choices.files.is_empty() {
                // Also where the link selects what there is not: better all than nothing.
                choices.other_files = Priority::Normal;
            }
            return Ok(());
        }
        if let Some(numbers) = &self.files {
            choices.files = numbers.choose(info)?;
        }
        for pattern in &self.patterns {
            let matching: Vec<u32> = places(info).filter(|(_, file)| matches(pattern, file)).map(|(place, _)| place).collect();
            if matching.is_empty() {
                return Err(format!("no file matches '{pattern}'; 'rustor show' lists them all"));
            }
            choices.files.extend(matching.into_iter().map(|place| (place, Priority::Normal)));
        }
        Ok(())
    }
}

/// Whether the file or a folder that it is in has such a name, or such a path where the pattern has slashes.
fn matches(pattern: &Pattern, file: &File) -> bool {
    let path = file.path();
    let whole = pattern.as_str().contains('/');
    let ends = path.match_indices('/').map(|(end, _)| end).chain([path.len()]);
    let mut start = 0;
    ends.into_iter().any(|end| {
        let candidate = &path[if whole { 0 } else { start }..end];
        start = end + 1;
        pattern.matches_with(candidate, MATCHING)
    })
}

/// The files that are no padding, with their places in the torrent from 0.
fn places(info: &Info) -> impl Iterator<Item = (u32, &File)> {
    (0..).zip(info.files()).filter(|(_, file)| !file.is_padding())
}

/// Numbers of files from 1, such as `1,3-5,7-`.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Numbers(Vec<RangeInclusive<u32>>);

impl Numbers {
    fn choose(&self, info: &Info) -> Result<BTreeMap<u32, Priority>, String> {
        let count = info.files().len() as u32;
        let mut chosen = BTreeMap::new();
        for range in &self.0 {
            // Open ends, and no others, may be beyond the last file.
            let last = if *range.end() == u32::MAX { count } else { *range.end() };
            if *range.start() > count || last > count {
                let number = last.max(*range.start());
                return Err(format!("there is no file {number}: it has {count} file{}; 'rustor show' lists them", plural(count.into())));
            }
            let places = range.start() - 1..=last - 1;
            chosen.extend(self::places(info).filter(|(place, _)| places.contains(place)).map(|(place, _)| (place, Priority::Normal)));
        }
        if chosen.is_empty() { Err("what --files names is padding; 'rustor show' lists the files".into()) } else { Ok(chosen) }
    }
}

impl FromStr for Numbers {
    type Err = String;

    fn from_str(text: &str) -> Result<Numbers, String> {
        let ranges = text.split(',').map(|part| {
            let number = |text: &str| text.trim().parse().ok().filter(|number| *number > 0);
            let range = match part.split_once('-') {
                Some((start, "")) => number(start)?..=u32::MAX,
                Some((start, end)) => number(start)?..=number(end)?,
                None => number(part)?..=number(part)?,
            };
            Some(range).filter(|range| !range.is_empty())
        });
        let ranges: Option<Vec<_>> = ranges.collect();
        ranges.map(Numbers).ok_or_else(|| "expected numbers from 1 and ranges of them, such as 1,3-5".into())
    }
}

/// How to deal with peers, wherever there are any to be served.
#[derive(Debug, Args)]
pub(crate) struct Sharing {
    /// Tell peers nothing of peers, and hear of none from them
    #[arg(long, help_heading = "Peers")]
    no_pex: bool,
    /// Look for no peers in the local network
    #[arg(long, help_heading = "Peers")]
    no_lsd: bool,
    /// Send no more than so many bytes a second, such as 500k or 1.5M
    #[arg(long, value_name = "RATE", value_parser = parse_rate, help_heading = "Limits")]
    max_up: Option<u64>,
    /// Seed until so much was sent for each byte of the files, such as 1.5; then end
    #[arg(long, value_name = "RATIO", value_parser = parse_ratio, help_heading = "Seeding")]
    seed_ratio: Option<u32>,
    /// Seed for so long, such as 2h30m; then end. Whichever of ratio and time is reached first counts
    #[arg(long, value_name = "TIME", value_parser = parse_span, help_heading = "Seeding")]
    seed_time: Option<Duration>,
    /// While nobody else has everything, show each peer one piece at a time
    #[arg(long, help_heading = "Seeding")]
    super_seed: bool,
}

impl Sharing {
    /// Whether there is an end to seeding.
    pub(crate) fn has_goal(&self) -> bool {
        self.goal() != SeedingGoal::default()
    }

    /// What it comes to for each torrent.
    pub(crate) fn choices(&self) -> Choices {
        Choices {
            super_seeding: self.super_seed,
            peer_exchange: !self.no_pex,
            local_discovery: !self.no_lsd,
            goal: self.goal(),
            ..Choices::default()
        }
    }

    /// What it comes to for all torrents together, of which no more than `download` may be received.
    pub(crate) fn rates(&self, download: Option<u64>) -> RateLimits {
        RateLimits { download, upload: self.max_up }
    }

    fn goal(&self) -> SeedingGoal {
        SeedingGoal { ratio_permille: self.seed_ratio, time: self.seed_time }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Six places, of which the fourth is padding.
    fn album() -> Info {
        let file = |path: &str, attributes: &str| {
            let parts: String = path.split('/').map(|part| format!("{}:{part}", part.len())).collect();
            format!("d{attributes}6:lengthi1e4:pathl{parts}ee")
        };
        let files = [
            file("cover.JPG", ""),
            file("cd 1/one.flac", ""),
            file("cd 1/two.flac", ""),
            file(".pad/1", "4:attr1:p"),
            file("cd 2/one.flac", ""),
            file("cd 2/booklet/cover.jpg", ""),
        ];
        let text = format!("d5:filesl{}e4:name5:album12:piece lengthi16384e6:pieces20:{}e", files.concat(), "p".repeat(20));
        Info::parse(text.into_bytes().into()).unwrap()
    }

    fn select(files: Option<&str>, patterns: &[&str]) -> Result<Vec<u32>, String> {
        select_of_link(files, patterns, &[])
    }

    fn select_of_link(files: Option<&str>, patterns: &[&str], link: &[RangeInclusive<u32>]) -> Result<Vec<u32>, String> {
        let files = files.map(|files| files.parse().unwrap());
        let patterns = patterns.iter().map(|pattern| Pattern::new(pattern).unwrap()).collect();
        let mut choices = Choices::default();
        Selection { files, patterns }.apply(&album(), link, &mut choices)?;
        Ok((0..6).filter(|place| choices.file(*place) != Priority::Skip).collect())
    }

    #[test]
    fn files_are_chosen_by_their_numbers_from_1() {
        assert_eq!(select(Some("1,3"), &[]), Ok(vec![0, 2]));
        assert_eq!(select(Some("2-5"), &[]), Ok(vec![1, 2, 4]), "padding is nobody's wish");
        assert_eq!(select(Some("5-"), &[]), Ok(vec![4, 5]));
        for (numbers, mentions) in [("7", "no file 7"), ("1-7", "no file 7"), ("9-", "no file"), ("4", "padding")] {
            assert!(select(Some(numbers), &[]).unwrap_err().contains(mentions), "{numbers}");
        }
    }

    #[test]
    fn numbers_are_numbers_from_1() {
        for text in ["", "0", "a", "1,,2", "5-3", "-3", "1-2-3", "1.5", "99999999999"] {
            assert!(text.parse::<Numbers>().is_err(), "{text}");
        }
        assert_eq!("1, 3-5 ,7-".parse::<Numbers>().unwrap().0, [1..=1, 3..=5, 7..=u32::MAX]);
    }

    #[test]
    fn patterns_match_names_of_files_and_folders_and_with_slashes_whole_paths() {
        assert_eq!(select(None, &["*.flac"]), Ok(vec![1, 2, 4]));
        assert_eq!(select(None, &["cover.jpg"]), Ok(vec![0, 5]), "capitals do not count");
        assert_eq!(select(None, &["CD 2"]), Ok(vec![4, 5]), "a folder is all that is in it");
        assert_eq!(select(None, &["cd ?/one*"]), Ok(vec![1, 4]));
        assert_eq!(select(None, &["cd*/*"]), Ok(vec![1, 2, 4, 5]), "booklet/ is matched, and with it what is in it");
        assert_eq!(select(None, &["**/cover.jpg"]), Ok(vec![0, 5]));
        assert_eq!(select(None, &["two.*", "*.jpg"]), Ok(vec![0, 2, 5]));
        assert_eq!(select(Some("1"), &["two.*"]), Ok(vec![0, 2]));
    }

    #[test]
    fn what_matches_nothing_is_named() {
        for patterns in [&["*.mkv"][..], &["*.flac", "*.mkv"], &["flac"], &["cd 3/*"], &["1"]] {
            assert!(select(None, patterns).unwrap_err().contains(patterns.last().unwrap()), "{patterns:?}");
        }
    }

    #[test]
    fn without_a_word_everything_is_wanted() {
        assert_eq!(select(None, &[]), Ok((0..6).collect()));
    }

    #[test]
    fn a_links_own_selection_counts_where_nothing_else_is_said() {
        assert_eq!(select_of_link(None, &[], &[1..=2, 5..=u32::MAX]), Ok(vec![1, 2, 5]));
        assert_eq!(select_of_link(Some("1"), &[], &[1..=2]), Ok(vec![0]));
        assert_eq!(select_of_link(None, &[], &[99..=99]), Ok((0..6).collect()));
    }
}
