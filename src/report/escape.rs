//! Attributes of HTML elements from texts of others.

use crate::base::escape::html;

/// Returns filter keys and their values as `data-` attributes of an element.
pub(super) fn attributes<'a>(keys: impl Iterator<Item = (&'a str, &'a str)>) -> String {
    keys.map(|(key, value)| format!(" data-{key}=\"{}\"", html(value)))
        .collect()
}
