//! The fixed offsets of a configuration as a session has stored it.

/// The distances of the first bid and ask as they are written, from `[quote]` of a stored configuration.
///
/// Read leniently: an older engine's has other keys beside these, or lacks some. `None` where no distance is fixed: under a
/// model, and where the volatility widens them.
pub(crate) fn fixed(quote: &toml::Value) -> Option<(String, String)> {
    let is_other =
        |key: &str, plain: &[&str]| quote.get(key).is_some_and(|value| !plain.contains(&plain_text(value).as_str()));
    if is_other("strategy", &["fixed"]) || is_other("volatility_widen", &["0"]) {
        return None;
    }
    let first = |list: &str, single: &str| {
        let listed = quote.get(list).and_then(toml::Value::as_array).and_then(|list| list.first());
        listed.or_else(|| quote.get(single)).map(plain_text)
    };
    first("bid_offsets_bps", "bid_offset_bps").zip(first("ask_offsets_bps", "ask_offset_bps"))
}

/// A value without the quotes of a text.
fn plain_text(value: &toml::Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_string)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may fail loudly")]

    fn of(text: &str) -> Option<(String, String)> {
        super::fixed(&toml::Value::Table(text.parse().unwrap()))
    }

    #[test]
    fn offsets_are_told_where_they_are_fixed() {
        let pair = |bid: &str, ask: &str| Some((bid.to_string(), ask.to_string()));
        let plain = "bid_offset_bps = \"10\"\nask_offset_bps = 12\n";
        assert_eq!(of(plain), pair("10", "12"));
        let whole =
            "strategy = \"fixed\"\nvolatility_widen = \"0\"\nbid_offsets_bps = [\"5\", \"7\"]\nask_offsets_bps = []\n";
        assert_eq!(of(&format!("{plain}{whole}")), pair("5", "12"));
        assert_eq!(of(&format!("{plain}strategy = \"glft\"\n")), None);
        assert_eq!(of(&format!("{plain}volatility_widen = \"0.5\"\n")), None);
        assert_eq!(of("bid_offset_bps = \"10\"\n"), None);
    }
}
