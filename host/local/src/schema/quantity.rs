//! Kubernetes quantities.

/// The value of a quantity; none when it is not one.
///
/// `-`, digits with at most one point, then a suffix: n u m k M G T P E, Ki to Ei, or an exponent.
pub(crate) fn parse(text: &str) -> Option<f64> {
    if text.len() > 64 || !text.is_ascii() {
        return None;
    }
    let digits = text
        .char_indices()
        .take_while(|(at, c)| c.is_ascii_digit() || *c == '.' || *at == 0 && matches!(c, '+' | '-'))
        .count();
    let (number, suffix) = text.split_at(digits);
    if !number.contains(|c: char| c.is_ascii_digit()) {
        return None;
    }
    let number: f64 = number.parse().ok()?;
    let factor = match suffix {
        "" => 1.0,
        "n" => 1e-9,
        "u" => 1e-6,
        "m" => 1e-3,
        "k" => 1e3,
        "M" => 1e6,
        "G" => 1e9,
        "T" => 1e12,
        "P" => 1e15,
        "E" => 1e18,
        "Ki" => 1024.0,
        "Mi" => 1024.0 * 1024.0,
        "Gi" => f64::from(1 << 30),
        "Ti" => 1024_f64.powi(4),
        "Pi" => 1024_f64.powi(5),
        "Ei" => 1024_f64.powi(6),
        exponent => {
            let exponent: i32 = exponent.strip_prefix(['e', 'E'])?.parse().ok()?;
            10_f64.powi(exponent)
        }
    };
    Some(number * factor)
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn quantities_as_kubernetes_reads_them() {
        for (text, value) in [
            ("1", 1.0),
            ("500m", 0.5),
            ("16Gi", 17_179_869_184.0),
            ("1e3", 1000.0),
            ("1E", 1e18),
            (".5", 0.5),
            ("-1", -1.0),
            ("2.5k", 2500.0),
        ] {
            assert_eq!(parse(text), Some(value), "{text}");
        }
        for bad in ["", "Gi", "1gb", "1 Gi", "1.2.3", "0x10", "1KB", "ten", "1Gi ", "+", "--1"] {
            assert_eq!(parse(bad), None, "{bad}");
        }
    }
}
