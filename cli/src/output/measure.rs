//! Sizes, rates, times: how people read and write them.

use std::{fmt, time::Duration};

const UNITS: [&str; 7] = ["B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];

/// A number of bytes with three digits or so, such as `1.37 GiB`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bytes(pub(crate) u64);

impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let unit = (self.0.checked_ilog2().unwrap_or(0) / 10) as usize;
        let value = self.0 as f64 / (1u64 << (10 * unit)) as f64;
        // Whole numbers of a unit are common, and look better without zeros behind them.
        let exact = self.0.is_multiple_of(1u64 << (10 * unit));
        let text = match value {
            _ if exact => format!("{value:.0} {}", UNITS[unit]),
            ..10.0 => format!("{value:.2} {}", UNITS[unit]),
            _ => format!("{value:.1} {}", UNITS[unit]),
        };
        f.pad(&text)
    }
}

/// A number of bytes to the last one, such as `1,471,234,567 bytes`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Exact(pub(crate) u64);

impl fmt::Display for Exact {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} byte{}", Count(self.0), super::plural(self.0))
    }
}

/// A number with commas, such as `1,471`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Count(pub(crate) u64);

impl fmt::Display for Count {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digits = self.0.to_string();
        let mut text = String::with_capacity(digits.len() * 4 / 3);
        for (at, digit) in digits.chars().enumerate() {
            if at > 0 && (digits.len() - at).is_multiple_of(3) {
                text.push(',');
            }
            text.push(digit);
        }
        f.pad(&text)
    }
}

/// Bytes a second, such as `12.3 MiB/s`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rate(pub(crate) u64);

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&format!("{}/s", Bytes(self.0)))
    }
}

/// A length of time, such as `2 min 05 s`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Span(pub(crate) Duration);

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.0.as_secs();
        let (days, hours, minutes) = (seconds / 86_400, seconds / 3600 % 24, seconds / 60 % 60);
        let text = match () {
            () if days > 0 => format!("{days} d {hours:02} h"),
            () if hours > 0 => format!("{hours} h {minutes:02} min"),
            () if minutes > 0 => format!("{minutes} min {:02} s", seconds % 60),
            () if seconds >= 10 => format!("{seconds} s"),
            () => format!("{:.1} s", self.0.as_secs_f64()),
        };
        f.pad(&text)
    }
}

/// Seconds since 1970 as a date and time of day, such as `2024-02-29 12:00:00 UTC`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Date(pub(crate) i64);

impl fmt::Display for Date {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const DAYS_OF_400_YEARS: i64 = 146_097;

        // Counted from the first of March of the year 0, so that leap days end years.
        let days = self.0.div_euclid(86_400) + 719_468;
        let era = days.div_euclid(DAYS_OF_400_YEARS);
        let day_of_era = days.rem_euclid(DAYS_OF_400_YEARS);
        let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
        let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let months = (5 * day_of_year + 2) / 153;
        let day = day_of_year - (153 * months + 2) / 5 + 1;
        let month = if months < 10 { months + 3 } else { months - 9 };
        let year = year_of_era + era * 400 + i64::from(month <= 2);
        let second = self.0.rem_euclid(86_400);
        write!(f, "{year:04}-{month:02}-{day:02} {:02}:{:02}:{:02} UTC", second / 3600, second / 60 % 60, second % 60)
    }
}

/// A size as people write it: `262144`, `256K`, `256 KiB`, `1MiB`. All units are powers of 1024.
pub(crate) fn parse_size(text: &str) -> Result<u64, String> {
    let text = text.trim();
    let end = text.find(|character: char| !character.is_ascii_digit()).unwrap_or(text.len());
    let (digits, unit) = text.split_at(end);
    let number: u64 = digits.parse().map_err(|_| "expected a number of bytes, such as 262144 or 256K".to_owned())?;
    let unit = unit.trim().to_ascii_lowercase();
    let power = match unit.strip_suffix("ib").or_else(|| unit.strip_suffix('b')).unwrap_or(&unit) {
        "" => 0,
        "k" => 1,
        "m" => 2,
        "g" => 3,
        _ => return Err(format!("'{unit}' is not a unit; use K, M or G")),
    };
    number.checked_mul(1 << (10 * power)).ok_or_else(|| "that is too much".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_about_three_digits() {
        for (bytes, text) in [
            (0, "0 B"),
            (1, "1 B"),
            (1023, "1023 B"),
            (1024, "1 KiB"),
            (1500, "1.46 KiB"),
            (256 << 10, "256 KiB"),
            (1_471_234_567, "1.37 GiB"),
            (123_456_789, "117.7 MiB"),
            (u64::MAX, "16.0 EiB"),
        ] {
            assert_eq!(Bytes(bytes).to_string(), text);
        }
        assert_eq!(format!("{:>9}|{:<9}|", Bytes(1024), Rate(1024)), "    1 KiB|1 KiB/s  |");
    }

    #[test]
    fn long_numbers_get_commas() {
        assert_eq!([0, 999, 1000, 1_234_567].map(|number| Count(number).to_string()), ["0", "999", "1,000", "1,234,567"]);
        assert_eq!(Exact(1).to_string(), "1 byte");
    }

    #[test]
    fn times_name_their_two_largest_units() {
        for (seconds, text) in [(4, "4.0 s"), (59, "59 s"), (125, "2 min 05 s"), (3700, "1 h 01 min"), (90_000, "1 d 01 h")] {
            assert_eq!(Span(Duration::from_secs(seconds)).to_string(), text);
        }
    }

    #[test]
    fn dates_know_leap_years_and_the_time_before_1970() {
        for (seconds, text) in [
            (0, "1970-01-01 00:00:00 UTC"),
            (951_782_400, "2000-02-29 00:00:00 UTC"),
            (1_709_210_096, "2024-02-29 12:34:56 UTC"),
            (4_107_542_400, "2100-03-01 00:00:00 UTC"),
            (-1, "1969-12-31 23:59:59 UTC"),
        ] {
            assert_eq!(Date(seconds).to_string(), text);
        }
        // Torrent files may say anything.
        assert!(Date(i64::MAX).to_string().ends_with(" UTC") && Date(i64::MIN).to_string().ends_with(" UTC"));
    }

    #[test]
    fn sizes_are_read_as_people_write_them() {
        for text in ["262144", "256K", "256k", "256 KiB", "256kb"] {
            assert_eq!(parse_size(text), Ok(256 << 10), "{text}");
        }
        assert_eq!(parse_size("2G"), Ok(2 << 30));
        for text in ["", "K", "-1", "1.5M", "1X", "99999999999999999999", "99999999999G"] {
            assert!(parse_size(text).is_err(), "{text}");
        }
    }
}
