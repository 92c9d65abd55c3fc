//! Kubernetes quantities, as far as claims, requests and quotas need them.

/// Text that is no quantity.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{} is not a size: write a number with a unit, such as 200Gi or 500M", crate::text::quoted(.text, 40))]
pub struct InvalidQuantity {
    /// The text as given.
    pub text: String,
}

/// The thousandths that a quantity such as `500m`, `2` or `16Gi` stands for, rounded up; nothing is a quantity too.
///
/// # Errors
/// [`InvalidQuantity`] when it is not a Kubernetes quantity, is negative or is beyond 8 EiB.
///
/// ```
/// use ilab_core::quantity::milli;
/// assert_eq!(milli("500m")?, 500);
/// assert_eq!(milli("2")?, 2000);
/// assert_eq!(milli("0")?, 0);
/// # Ok::<(), ilab_core::quantity::InvalidQuantity>(())
/// ```
pub fn milli(text: &str) -> Result<u128, InvalidQuantity> {
    let refuse = || InvalidQuantity { text: text.to_owned() };
    let read = Read::new(text).ok_or_else(refuse)?;
    let whole = read.digits.checked_mul(read.factor).and_then(|n| n.checked_mul(1000)).ok_or_else(refuse)?;
    let milli = whole.div_ceil(read.divisor);
    if milli <= 1000 << 63 { Ok(milli) } else { Err(refuse()) }
}

/// The bytes that a quantity such as `200Gi` stands for, rounded up to whole bytes.
///
/// # Errors
/// [`InvalidQuantity`] when it is not a positive Kubernetes quantity or is beyond 8 EiB.
///
/// ```
/// use ilab_core::quantity::bytes;
/// assert_eq!(bytes("200Gi")?, 200 << 30);
/// assert_eq!(bytes("1.5k")?, 1500);
/// assert!(bytes("two").is_err());
/// # Ok::<(), ilab_core::quantity::InvalidQuantity>(())
/// ```
pub fn bytes(text: &str) -> Result<u64, InvalidQuantity> {
    let refuse = || InvalidQuantity { text: text.to_owned() };
    let read = Read::new(text).filter(|read| !read.small).ok_or_else(refuse)?;
    let scaled = read.digits.checked_mul(read.factor).ok_or_else(refuse)?;
    match u64::try_from(scaled.div_ceil(read.divisor)) {
        Ok(bytes) if bytes > 0 && bytes <= 1 << 63 => Ok(bytes),
        _ => Err(refuse()),
    }
}

/// A quantity, read but not yet rounded: `digits * factor / divisor`.
struct Read {
    digits: u128,
    factor: u128,
    divisor: u128,
    /// Whether its unit is a fraction of one, as CPUs have it and sizes do not.
    small: bool,
}

impl Read {
    fn new(text: &str) -> Option<Self> {
        if text.len() > 40 {
            return None;
        }
        let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
        let (number, unit) = text.split_at(end);
        let small = match unit {
            "m" => Some(1000),
            "u" => Some(1_000_000),
            "n" => Some(1_000_000_000),
            _ => None,
        };
        let factor: u128 = match unit {
            "" | "m" | "u" | "n" => 1,
            "k" => 1000,
            "M" => 1000_u128.pow(2),
            "G" => 1000_u128.pow(3),
            "T" => 1000_u128.pow(4),
            "P" => 1000_u128.pow(5),
            "E" => 1000_u128.pow(6),
            "Ki" => 1 << 10,
            "Mi" => 1 << 20,
            "Gi" => 1 << 30,
            "Ti" => 1 << 40,
            "Pi" => 1 << 50,
            "Ei" => 1 << 60,
            _ => match unit.strip_prefix(['e', 'E']).map(str::parse::<u32>) {
                Some(Ok(exponent)) if exponent <= 18 => 10_u128.pow(exponent),
                _ => return None,
            },
        };
        let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
        if (whole.is_empty() && fraction.is_empty())
            || whole.len() > 19
            || fraction.len() > 9
            || fraction.contains('.')
        {
            return None;
        }
        let digits = |part: &str| if part.is_empty() { Some(0) } else { part.parse::<u128>().ok() };
        let scale = 10_u128.pow(u32::try_from(fraction.len()).ok()?);
        Some(Self {
            digits: digits(whole)? * scale + digits(fraction)?,
            factor,
            divisor: scale * small.unwrap_or(1),
            small: small.is_some(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_amounts_and_nothing_are_amounts() {
        for (text, expected) in [
            ("0", 0),
            ("0m", 0),
            ("0.0", 0),
            ("00", 0),
            ("0Gi", 0),
            ("1", 1000),
            ("250m", 250),
            ("1500u", 2),
            ("1n", 1),
            ("1k", 1_000_000),
            ("1Ki", 1_024_000),
            ("1.5k", 1_500_000),
            ("0.5", 500),
            ("0.5m", 1),
            ("8Ei", 1000 << 63),
        ] {
            assert_eq!(milli(text), Ok(expected), "{text}");
        }
        for text in ["", "m", "-1", "1mm", "1Gim", ".", "x", "0x", "9Ei", "1m1"] {
            assert!(milli(text).is_err(), "{text}");
        }
    }

    #[test]
    fn quantities_are_read_as_kubernetes_reads_them() {
        for (text, expected) in [
            ("1", 1),
            ("1Ki", 1024),
            ("1k", 1000),
            ("0.5Gi", 1 << 29),
            (".5Gi", 1 << 29),
            ("1e3", 1000),
            ("1E3", 1000),
            ("8Ei", 1 << 63),
            ("0.1", 1),
        ] {
            assert_eq!(bytes(text), Ok(expected), "{text}");
        }
        for text in [
            "",
            "Gi",
            "0",
            "-1",
            "+1",
            "1 Gi",
            "1gi",
            "1KiB",
            "1.2.3",
            ".",
            "9Ei",
            "1e99",
            "1m",
            "٣Gi",
            &"9".repeat(1000),
        ] {
            assert!(bytes(text).is_err(), "{text}");
        }
    }
}
