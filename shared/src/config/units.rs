//! Durations and byte sizes as they are written, both ways.

use std::time::Duration;

const TIME_UNITS: [(&str, u64); 5] =
    [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1000), ("ms", 1)];
const SIZE_UNITS: [(&str, u64); 5] =
    [("TiB", 1 << 40), ("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10), ("B", 1)];

/// Reads `10s`, `250ms`, `1h30m`: numbers with units, the larger first. The error says what is wrong.
pub fn duration(text: &str) -> Result<Duration, String> {
    quantity(text, &TIME_UNITS).map(Duration::from_millis).map_err(|error| match error {
        Error::NoUnit(number) => format!("has no unit: write {number}s, or ms, m, h or d"),
        Error::TooLarge => "is too large".to_owned(),
        Error::Form => "is not a duration: write for example 250ms, 10s, 5m or 1h30m".to_owned(),
    })
}

/// Reads `64KiB`, `1MiB`, `512B`. The error says what is wrong.
pub fn bytes(text: &str) -> Result<u64, String> {
    quantity(text, &SIZE_UNITS).map_err(|error| match error {
        Error::NoUnit(number) => format!("has no unit: write {number}B, or KiB, MiB, GiB or TiB"),
        Error::TooLarge => "is too large".to_owned(),
        Error::Form => "is not a size: write for example 64KiB or 1MiB".to_owned(),
    })
}

/// Writes a duration of whole milliseconds as [`duration`] reads it.
#[must_use]
pub fn show_duration(value: Duration) -> String {
    show(u64::try_from(value.as_millis()).unwrap_or(u64::MAX), &TIME_UNITS, "0s")
}

/// Writes a size as [`bytes`] reads it.
#[must_use]
pub fn show_bytes(value: u64) -> String {
    show(value, &SIZE_UNITS, "0B")
}

enum Error {
    NoUnit(u64),
    TooLarge,
    Form,
}

/// Adds up `<number><unit>` pairs whose units come in the order of the table, each once.
fn quantity(text: &str, mut units: &[(&str, u64)]) -> Result<u64, Error> {
    let (mut total, mut rest) = (0u64, text);
    if rest.is_empty() {
        return Err(Error::Form);
    }
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
        let (number, tail) = rest.split_at(digits);
        if number.is_empty() {
            return Err(Error::Form);
        }
        let number: u64 = number.parse().map_err(|_| Error::TooLarge)?;
        let letters = tail.find(|c: char| c.is_ascii_digit()).unwrap_or(tail.len());
        let (unit, tail) = tail.split_at(letters);
        if unit.is_empty() {
            return Err(Error::NoUnit(number));
        }
        let index = units.iter().position(|(name, _)| *name == unit).ok_or(Error::Form)?;
        let part = number.checked_mul(units[index].1).ok_or(Error::TooLarge)?;
        total = total.checked_add(part).ok_or(Error::TooLarge)?;
        (units, rest) = (&units[index + 1..], tail);
    }
    Ok(total)
}

fn show(mut value: u64, units: &[(&str, u64)], zero: &str) -> String {
    if value == 0 {
        return zero.to_owned();
    }
    let mut text = String::new();
    for (name, size) in units {
        if value >= *size {
            text += &format!("{}{name}", value / size);
            value %= size;
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_read_and_write() {
        for (text, ms, shown) in [
            ("0s", 0, "0s"),
            ("250ms", 250, "250ms"),
            ("1h30m", 5_400_000, "1h30m"),
            ("90s", 90_000, "1m30s"),
            ("1d1ms", 86_400_001, "1d1ms"),
        ] {
            assert_eq!(duration(text), Ok(Duration::from_millis(ms)), "{text}");
            assert_eq!(show_duration(Duration::from_millis(ms)), shown);
        }
    }

    #[test]
    fn sizes_read_and_write() {
        assert_eq!(bytes("1MiB"), Ok(1 << 20));
        assert_eq!(show_bytes(1 << 16), "64KiB");
        assert_eq!(bytes("1MiB512KiB"), Ok((1 << 20) + (1 << 19)));
    }

    #[test]
    fn what_is_not_a_quantity_says_how_to_write_one() {
        for text in ["", "s", "10 s", "1.5s", "-1s", "1m1h", "1s1s", "10S", "1KB"] {
            assert!(duration(text).unwrap_err().starts_with("is not a duration"), "{text}");
        }
        assert_eq!(duration("10"), Err("has no unit: write 10s, or ms, m, h or d".to_owned()));
        assert_eq!(bytes("4096"), Err("has no unit: write 4096B, or KiB, MiB, GiB or TiB".to_owned()));
        assert_eq!(duration("99999999999999999999s"), Err("is too large".to_owned()));
        assert_eq!(bytes("18446744073709551615GiB"), Err("is too large".to_owned()));
    }
}
