//! The owner's choices in resume data: what is as by default is left out.

use crate::{
    bencode::{DictionaryEncoder, Value},
    choices::{Choices, Priority, RateLimits, SeedingGoal},
    time::Duration,
};

pub(super) fn encode(choices: &Choices, entries: &mut DictionaryEncoder<'_>) {
    let default = Choices::default();
    let flags: [(&[u8], bool, bool); 5] = [
        (b"first-and-last", choices.first_and_last, default.first_and_last),
        (b"local-discovery", choices.local_discovery, default.local_discovery),
        (b"peer-exchange", choices.peer_exchange, default.peer_exchange),
        (b"sequential", choices.sequential, default.sequential),
        (b"super-seeding", choices.super_seeding, default.super_seeding),
    ];
    for (key, flag, _) in flags.into_iter().filter(|(_, flag, default)| flag != default) {
        entries.key(key).integer(flag.into());
    }
    if !choices.files.is_empty() {
        entries.key(b"files").list(|files| {
            for (place, priority) in &choices.files {
                files.item().list(|file| {
                    file.item().unsigned((*place).into());
                    file.item().unsigned(number(*priority));
                });
            }
        });
    }
    if choices.other_files != default.other_files {
        entries.key(b"other-files").unsigned(number(choices.other_files));
    }
    let numbers: [(&[u8], Option<u64>); 4] = [
        (b"download-rate", choices.rates.download),
        (b"goal-ratio", choices.goal.ratio_permille.map(u64::from)),
        (b"goal-time", choices.goal.time.map(|time| time.as_secs())),
        (b"upload-rate", choices.rates.upload),
    ];
    for (key, number) in numbers {
        if let Some(number) = number {
            entries.key(key).unsigned(number);
        }
    }
}

/// Reads what [`encode`] wrote for a torrent of so many files; what makes no sense is as by default.
pub(super) fn decode(value: Value<'_>, files: usize) -> Choices {
    let default = Choices::default();
    let unsigned = |key: &[u8]| value.get(key).and_then(|value| value.as_unsigned());
    let flag = |key: &[u8], default: bool| unsigned(key).map_or(default, |flag| flag != 0);
    let file = |file: Value<'_>| {
        let mut numbers = file.as_list()?.iter();
        let place = u32::try_from(numbers.next()?.as_unsigned()?).ok().filter(|place| (*place as usize) < files)?;
        Some((place, priority(numbers.next()?.as_unsigned()?)?))
    };
    let list = value.get(b"files").and_then(|list| list.as_list()).unwrap_or_default();
    Choices {
        files: list.iter().take(files).filter_map(file).collect(),
        other_files: unsigned(b"other-files").and_then(priority).unwrap_or(default.other_files),
        sequential: flag(b"sequential", default.sequential),
        first_and_last: flag(b"first-and-last", default.first_and_last),
        super_seeding: flag(b"super-seeding", default.super_seeding),
        peer_exchange: flag(b"peer-exchange", default.peer_exchange),
        local_discovery: flag(b"local-discovery", default.local_discovery),
        rates: RateLimits { download: unsigned(b"download-rate"), upload: unsigned(b"upload-rate") },
        goal: SeedingGoal {
            ratio_permille: unsigned(b"goal-ratio").and_then(|ratio| u32::try_from(ratio).ok()),
            time: unsigned(b"goal-time").map(Duration::from_secs),
        },
    }
}

fn number(priority: Priority) -> u64 {
    match priority {
        Priority::High => 0,
        Priority::Normal => 1,
        Priority::Low => 2,
        Priority::Skip => 3,
    }
}

fn priority(number: u64) -> Option<Priority> {
    [Priority::High, Priority::Normal, Priority::Low, Priority::Skip].into_iter().nth(usize::try_from(number).ok()?)
}
