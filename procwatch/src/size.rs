//! Sizes of memory and files as people write them.

/// Reads `512M`, `1.5G`, `64KiB`, `1048576`: K, M, G and T are powers of 1024.
///
/// # Errors
/// Says in a few words why the text is no size.
pub(crate) fn parse(text: &str) -> Result<u64, String> {
    let wrong = || "a number with K, M, G or T is wanted, as in 512M".to_owned();
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let factor: u64 = match text[digits.len()..].to_ascii_uppercase().as_str() {
        "" | "B" => 1,
        "K" | "KB" | "KIB" => 1 << 10,
        "M" | "MB" | "MIB" => 1 << 20,
        "G" | "GB" | "GIB" => 1 << 30,
        "T" | "TB" | "TIB" => 1 << 40,
        _ => return Err(wrong()),
    };
    let (whole, part) = digits.split_once('.').unwrap_or((digits, ""));
    let is_number = |text: &str| text.bytes().all(|b| b.is_ascii_digit());
    if !is_number(whole) || !is_number(part) || whole.is_empty() || part.len() > 6 {
        return Err(wrong());
    }
    let too_large = || "it is too large".to_owned();
    let number = |text: &str| text.parse::<u64>().map_err(|_| too_large());
    let fraction = if part.is_empty() { 0 } else { number(part)? };
    let fraction = fraction * factor / 10_u64.pow(u32::try_from(part.len()).unwrap_or(0));
    number(whole)?
        .checked_mul(factor)
        .and_then(|bytes| bytes.checked_add(fraction))
        .ok_or_else(too_large)
}

/// A size in the largest unit that leaves a whole part: `12.3M`.
#[must_use]
pub(crate) fn words(bytes: u64) -> String {
    let units = [(30, "G"), (20, "M"), (10, "K")];
    let unit = units.into_iter().find(|(shift, _)| bytes >> shift > 0);
    match unit {
        Some((shift, unit)) => {
            let tenths = (u128::from(bytes) * 10) >> shift;
            format!("{}.{}{unit}", tenths / 10, tenths % 10)
        }
        None => bytes.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_size_reads_back(bytes: u64, near in "[0-9.]{0,8}[KMGTib]{0,3}") {
            prop_assert_eq!(parse(&bytes.to_string()), Ok(bytes));
            // Cut to a tenth of its unit.
            let shown = parse(&words(bytes)).unwrap();
            prop_assert!(shown <= bytes && bytes - shown <= shown / 10 + 1);
            let _ = parse(&near);
        }
    }

    #[test]
    fn the_forms_of_a_size() {
        for (text, bytes) in [
            ("0", 0),
            ("1048576", 1 << 20),
            ("512M", 512 << 20),
            ("512m", 512 << 20),
            ("1.5G", 3 << 29),
            ("64KiB", 64 << 10),
            ("10MB", 10 << 20),
            ("2T", 2 << 40),
        ] {
            assert_eq!(parse(text), Ok(bytes), "{text}");
        }
        for text in [
            "",
            "M",
            "-1",
            "1e3",
            "5x",
            "1..2",
            ".5M",
            "1 M",
            "99999999999T",
            "1.M5",
        ] {
            assert!(parse(text).is_err(), "{text:?} was taken");
        }
    }

    #[test]
    fn sizes_in_words() {
        assert_eq!(words(999), "999");
        assert_eq!(words(1536), "1.5K");
        assert_eq!(words(537 << 20), "537.0M");
        assert_eq!(words(1_153_536), "1.1M");
    }
}
