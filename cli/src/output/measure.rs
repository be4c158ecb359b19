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
    number.checked_mul(unit_size(unit)?).ok_or_else(|| "that is too much".to_owned())
}

/// Bytes a second as people write them: `500k`, `1.5M`, `2 MiB/s`, `64000`. All units are powers of 1024, and 0 is refused.
pub(crate) fn parse_rate(text: &str) -> Result<u64, String> {
    let text = text.trim();
    let text = text.strip_suffix("/s").unwrap_or(text);
    let end = text.find(|character: char| !character.is_ascii_digit() && character != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    let thousandths = thousandths(number).ok_or_else(|| "expected bytes a second, such as 500k or 1.5M".to_owned())?;
    let rate = u128::from(thousandths) * u128::from(unit_size(unit)?) / 1000;
    match u64::try_from(rate) {
        Ok(0) => Err("nothing would ever come or go; leave the option out for no limit".to_owned()),
        Ok(rate) => Ok(rate),
        Err(_) => Err("that is too much".to_owned()),
    }
}

/// A ratio such as `1.5`, in thousandths.
pub(crate) fn parse_ratio(text: &str) -> Result<u32, String> {
    let ratio = thousandths(text.trim()).ok_or_else(|| "expected a number such as 2 or 1.5".to_owned())?;
    u32::try_from(ratio).map_err(|_| "that is too much".to_owned())
}

/// A length of time as people write it: `2h30m`, `90m`, `1d 12h`, `45s`.
pub(crate) fn parse_span(text: &str) -> Result<Duration, String> {
    const EXPECTED: &str = "expected a time with its unit, such as 2h30m, 90m or 1d";
    let mut rest = text.trim();
    let mut seconds = 0u64;
    while !rest.is_empty() {
        let end = rest.find(|character: char| !character.is_ascii_digit()).ok_or(EXPECTED)?;
        let number: u64 = rest[..end].parse().map_err(|_| EXPECTED)?;
        let unit = match rest.as_bytes()[end].to_ascii_lowercase() {
            b'd' => 86_400,
            b'h' => 3600,
            b'm' => 60,
            b's' => 1,
            _ => return Err(EXPECTED.into()),
        };
        seconds = number.checked_mul(unit).and_then(|more| seconds.checked_add(more)).ok_or("that is too long")?;
        rest = rest[end + 1..].trim_start();
    }
    if text.trim().is_empty() { Err(EXPECTED.into()) } else { Ok(Duration::from_secs(seconds)) }
}

/// How many bytes a unit is, such as `K`, `KiB` or nothing.
fn unit_size(unit: &str) -> Result<u64, String> {
    let unit = unit.trim().to_ascii_lowercase();
    let power = match unit.strip_suffix("ib").or_else(|| unit.strip_suffix('b')).unwrap_or(&unit) {
        "" => 0,
        "k" => 1,
        "m" => 2,
        "g" => 3,
        _ => return Err(format!("'{unit}' is not a unit; use K, M or G")),
    };
    Ok(1 << (10 * power))
}

/// A decimal number such as `1.5`, in thousandths; further digits are dropped.
fn thousandths(text: &str) -> Option<u64> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if (whole.is_empty() && fraction.is_empty()) || !digits(whole) || !digits(fraction) {
        return None;
    }
    let whole: u64 = if whole.is_empty() { 0 } else { whole.parse().ok()? };
    let fraction = fraction.bytes().chain([b'0'; 3]).take(3).fold(0, |sum, digit| sum * 10 + u64::from(digit - b'0'));
    whole.checked_mul(1000)?.checked_add(fraction)
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

    #[test]
    fn rates_are_read_as_people_write_them() {
        for (text, rate) in
            [("500k", 512_000), ("1.5M", 1_572_864), ("1.5 MiB/s", 1_572_864), ("64000", 64_000), ("2MB/s", 2 << 20), (".5K", 512)]
        {
            assert_eq!(parse_rate(text), Ok(rate), "{text}");
        }
        for text in ["", "k", "-1", "0", "0.0001", "1.2.3", "fast", "5x", "1e6", "99999999999G", "18446744073709551616"] {
            assert!(parse_rate(text).is_err(), "{text}");
        }
    }

    #[test]
    fn ratios_are_read_to_the_thousandth() {
        for (text, ratio) in [("1.5", 1500), ("2", 2000), ("0", 0), (".25", 250), ("1.", 1000), ("0.3339", 333)] {
            assert_eq!(parse_ratio(text), Ok(ratio), "{text}");
        }
        for text in ["", ".", "-1", "1,5", "x", "99999999"] {
            assert!(parse_ratio(text).is_err(), "{text}");
        }
    }

    #[test]
    fn spans_are_read_with_their_units() {
        for (text, seconds) in [("2h30m", 9000), ("90m", 5400), ("1d 12h", 129_600), ("45s", 45), ("1H", 3600), ("0s", 0)] {
            assert_eq!(parse_span(text), Ok(Duration::from_secs(seconds)), "{text}");
        }
        for text in ["", "90", "h", "2x", "-1h", "1h30", "1.5h", "2é", "99999999999999999999d", "999999999999999999d"] {
            assert!(parse_span(text).is_err(), "{text}");
        }
    }
}
