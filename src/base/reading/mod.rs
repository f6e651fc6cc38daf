//! Texts as a reader sees them: on a terminal, on a page of HTML, as Markdown, across the ends of
//! lines. A search in these readings finds words that escape sequences, markup or invisible
//! characters split.

mod entities;
mod html;
mod invisible;
mod joined;
mod markdown;
mod readings;
mod terminal;

pub(crate) use readings::{Form, find_reading};
