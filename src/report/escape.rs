//! Escaping of text in HTML.

/// Returns filter keys and their values as `data-` attributes of an element.
pub(super) fn attributes<'a>(keys: impl Iterator<Item = (&'a str, &'a str)>) -> String {
    keys.map(|(key, value)| format!(" data-{key}=\"{}\"", escape(value)))
        .collect()
}

/// Escapes text so that it cannot become markup, in elements and in quoted attributes.
pub(super) fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for ch in text.chars() {
        match ch {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            // HTML does not allow control characters.
            ch if ch.is_control() && !['\n', '\t'].contains(&ch) => escaped.push('\u{fffd}'),
            other => escaped.push(other),
        }
    }
    escaped
}
