//! Sizes, rates and spans of time as people write them: `"16 MiB"`, `"1.5 MiB/s"`, `"20 ms"`.

use rustor_core::time::Duration;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};
use std::{fmt, str::FromStr};

/// A number of bytes: `"300 B"`, `"64 KiB"`, `"1.5 MiB"`, `"2 GiB"`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Size(pub u64);

/// Bytes a second: a size and `/s`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Rate(pub u64);

/// A span of virtual time in microseconds: `"5 us"`, `"20 ms"`, `"1.5 s"`, `"10 min"`, `"2 h"`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Span(pub u64);

impl Span {
    /// No time at all.
    pub const ZERO: Span = Span(0);

    /// So many milliseconds.
    pub const fn millis(millis: u64) -> Span {
        Span(millis * 1000)
    }

    /// So many seconds.
    pub const fn seconds(seconds: u64) -> Span {
        Span(seconds * 1_000_000)
    }

    /// The same, as the engine counts time.
    pub const fn duration(self) -> Duration {
        Duration::from_micros(self.0)
    }
}

const SIZES: &[(&str, u64)] = &[("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10), ("B", 1)];
const SPANS: &[(&str, u64)] = &[("h", 3_600_000_000), ("min", 60_000_000), ("s", 1_000_000), ("ms", 1000), ("us", 1)];

/// What was written is no number with one of the units that are known here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnitError {
    text: String,
    units: &'static [(&'static str, u64)],
}

impl fmt::Display for UnitError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let units: Vec<&str> = self.units.iter().map(|(unit, _)| *unit).collect();
        write!(f, "\"{}\" is not a number and one of {}", self.text, units.join(", "))
    }
}

impl std::error::Error for UnitError {}

/// Reads a number with up to six digits behind its point, and its unit.
fn parse(text: &str, units: &'static [(&'static str, u64)]) -> Result<u64, UnitError> {
    let wrong = || UnitError { text: text.to_owned(), units };
    let trimmed = text.trim();
    let end = trimmed.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(trimmed.len());
    let (number, unit) = trimmed.split_at(end);
    let (_, factor) = units.iter().find(|(name, _)| *name == unit.trim()).ok_or_else(wrong)?;
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if fraction.len() > 6 {
        return Err(wrong());
    }
    let whole: u64 = whole.parse().map_err(|_| wrong())?;
    let millionths: u64 = format!("{fraction:0<6}").parse().map_err(|_| wrong())?;
    let total = u128::from(whole) * u128::from(*factor) + u128::from(millionths) * u128::from(*factor) / 1_000_000;
    u64::try_from(total).map_err(|_| wrong())
}

/// Writes a number in the largest unit in which it is exact.
fn write(f: &mut fmt::Formatter<'_>, number: u64, units: &[(&str, u64)]) -> fmt::Result {
    let fits = |(_, factor): &&(&str, u64)| number.is_multiple_of(*factor) && (number > 0 || *factor == 1);
    let (unit, factor) = units.iter().find(fits).unwrap_or(&("", 1));
    write!(f, "{} {unit}", number / factor)
}

macro_rules! unit {
    ($name:ident, $units:ident, $suffix:literal) => {
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write(f, self.0, $units)?;
                f.write_str($suffix)
            }
        }

        impl FromStr for $name {
            type Err = UnitError;

            fn from_str(text: &str) -> Result<$name, UnitError> {
                let wrong = || UnitError { text: text.to_owned(), units: $units };
                parse(text.trim().strip_suffix($suffix).ok_or_else(wrong)?, $units).map($name)
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<$name, D::Error> {
                String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
            }
        }
    };
}

unit!(Size, SIZES, "");
unit!(Rate, SIZES, "/s");
unit!(Span, SPANS, "");

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn units_are_read_as_people_write_them() {
        assert_eq!("16 MiB".parse(), Ok(Size(16 << 20)));
        assert_eq!("1.5 KiB/s".parse(), Ok(Rate(1536)));
        assert_eq!("20ms".parse(), Ok(Span(20_000)));
        assert_eq!("2.25 s".parse(), Ok(Span(2_250_000)));
        for wrong in ["", "5", "MiB", "5 MB", "-1 s", "1.2.3 s", "99999999999999999999 s"] {
            assert!(wrong.parse::<Span>().is_err() && wrong.parse::<Size>().is_err(), "{wrong}");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_again(number: u64) {
            prop_assert_eq!(Size(number).to_string().parse(), Ok(Size(number)));
            prop_assert_eq!(Rate(number).to_string().parse(), Ok(Rate(number)));
            prop_assert_eq!(Span(number).to_string().parse(), Ok(Span(number)));
        }
    }
}
