//! Kubernetes quantities: `500m`, `4Gi`, `1e3`.

/// The quantity in thousandths, rounded up; none when it is no quantity or negative.
pub(crate) fn milli(text: &str) -> Option<u128> {
    let end = text.find(|c: char| !(c.is_ascii_digit() || c == '.')).unwrap_or(text.len());
    let (number, suffix) = text.split_at(end);
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if (whole.is_empty() && fraction.is_empty())
        || fraction.contains('.')
        || fraction.len() > 18
        || whole.len() > 20
    {
        return None;
    }
    // Numerator and denominator of one unit, in thousandths.
    let (up, down): (u128, u128) = match suffix {
        "n" => (1, 1_000_000),
        "u" => (1, 1000),
        "m" => (1, 1),
        "" => (1000, 1),
        "k" => (1_000_000, 1),
        "M" => (1_000_000_000, 1),
        "G" => (1_000_000_000_000, 1),
        "T" => (10_u128.pow(15), 1),
        "P" => (10_u128.pow(18), 1),
        "E" => (10_u128.pow(21), 1),
        "Ki" => (1000 << 10, 1),
        "Mi" => (1000 << 20, 1),
        "Gi" => (1000 << 30, 1),
        "Ti" => (1000 << 40, 1),
        "Pi" => (1000 << 50, 1),
        "Ei" => (1000 << 60, 1),
        _ => {
            let power: i32 = suffix.strip_prefix(['e', 'E'])?.parse().ok()?;
            let ten = |power: u32| 10_u128.checked_pow(power).filter(|_| power <= 18);
            if power >= 0 {
                (1000 * ten(power.unsigned_abs())?, 1)
            } else {
                (1000, ten(power.unsigned_abs())?)
            }
        }
    };
    let scale = 10_u128.pow(u32::try_from(fraction.len()).ok()?);
    let digits: u128 = format!("{whole}{fraction}").parse().ok()?;
    Some(digits.checked_mul(up)?.div_ceil(scale.checked_mul(down)?))
}

/// The quantity in whole units, rounded up.
pub(crate) fn units(text: &str) -> Option<u64> {
    u64::try_from(milli(text)?.div_ceil(1000)).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantities() {
        for (text, value) in [
            ("1", 1000),
            ("500m", 500),
            ("0.5", 500),
            (".5", 500),
            ("1.", 1000),
            ("1u", 1),
            ("1e3", 1_000_000),
            ("1E-3", 1),
            ("2k", 2_000_000),
            ("1.5Gi", 1_610_612_736_000),
            ("0", 0),
        ] {
            assert_eq!(milli(text), Some(value), "{text}");
        }
        for text in ["", "-1", "1 Gi", "Gi", "1.2.3", "1x", "1e99", "9".repeat(40).as_str()] {
            assert_eq!(milli(text), None, "{text}");
        }
        assert_eq!(units("1500m"), Some(2));
        assert_eq!(units("4Gi"), Some(4 << 30));
    }
}
