//! Kubernetes quantities, as far as a claim's size needs them.

/// Text that is no quantity.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{} is not a size: write a number with a unit, such as 200Gi or 500M", crate::text::quoted(.text, 40))]
pub struct InvalidQuantity {
    /// The text as given.
    pub text: String,
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
    if text.len() > 40 {
        return Err(refuse());
    }
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    let factor: u128 = match unit {
        "" => 1,
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
            _ => return Err(refuse()),
        },
    };
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if (whole.is_empty() && fraction.is_empty())
        || whole.len() > 19
        || fraction.len() > 9
        || fraction.contains('.')
    {
        return Err(refuse());
    }
    let digits =
        |part: &str| if part.is_empty() { Ok(0) } else { part.parse::<u128>().map_err(|_| refuse()) };
    let scale = 10_u128.pow(u32::try_from(fraction.len()).map_err(|_| refuse())?);
    let scaled = (digits(whole)? * scale + digits(fraction)?).checked_mul(factor).ok_or_else(refuse)?;
    match u64::try_from(scaled.div_ceil(scale)) {
        Ok(bytes) if bytes > 0 && bytes <= 1 << 63 => Ok(bytes),
        _ => Err(refuse()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
