//! Partitions: folders such as `dt=2026-05-28/country=CN` below the path of a source. Their names are
//! columns of the files in them.

use arrow_array::{ArrayRef, Date32Array, Int64Array, StringArray, new_null_array};
use arrow_schema::DataType;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use crate::base::error::{Error, Result};
use crate::base::time;
use crate::base::time::DAY;
use crate::base::url::percent_decoded;
use crate::input::fetch;
use crate::scenario::Source;

/// What Hive writes for a value that is null or empty.
const NULL: &str = "__HIVE_DEFAULT_PARTITION__";

/// The values of a file's partition, by key. `None` stands for null.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Partition {
    pub(crate) values: BTreeMap<String, Option<String>>,
    /// The type of each key: the same for all files of a source.
    types: Arc<BTreeMap<String, DataType>>,
}

impl Partition {
    /// The type of a key. `None` if the file has no such key.
    pub(crate) fn data_type(&self, key: &str) -> Option<&DataType> {
        self.values.get(key)?;
        self.types.get(key)
    }

    /// The value of a key in each of `n_rows` rows. `None` if the file has no such key.
    pub(super) fn array(&self, key: &str, n_rows: usize) -> Option<ArrayRef> {
        let (value, data_type) = (self.values.get(key)?.as_deref(), self.types.get(key)?);
        let Some(value) = value else {
            return Some(new_null_array(data_type, n_rows));
        };
        Some(match data_type {
            DataType::Int64 => Arc::new(Int64Array::from(vec![whole(value); n_rows])),
            DataType::Date32 => Arc::new(Date32Array::from(vec![iso_day(value); n_rows])),
            _ => Arc::new(StringArray::from(vec![value; n_rows])),
        })
    }
}

/// Returns the partitions of the files of a source.
pub(super) fn partitions<'a>(source: &Source, files: impl Iterator<Item = &'a PathBuf>) -> Vec<Partition> {
    let root = without_dots(&constant_part(&source.path));
    let found: Vec<BTreeMap<String, Option<String>>> = files
        .map(|file| match fetch::below(file) {
            Some(name) => values_of(&name),
            None => {
                let file = without_dots(file);
                file.strip_prefix(&root)
                    .map_or_else(|_| BTreeMap::new(), values_of)
            }
        })
        .collect();
    let keys: BTreeSet<&String> = found.iter().flat_map(BTreeMap::keys).collect();
    let types = keys.into_iter().map(|key| {
        let values = found.iter().filter_map(|values| values.get(key)?.as_deref());
        (key.clone(), type_of(values))
    });
    let types = Arc::new(types.collect::<BTreeMap<_, _>>());
    let partition = |values| Partition {
        values,
        types: Arc::clone(&types),
    };
    found.into_iter().map(partition).collect()
}

/// The part of a path before the first component with a wildcard.
fn constant_part(path: &Path) -> PathBuf {
    if path.exists() {
        return path.to_owned();
    }
    let is_plain = |part: &Component<'_>| !part.as_os_str().to_string_lossy().contains(['*', '?', '[']);
    path.components().take_while(is_plain).collect()
}

/// A path without its components `.`, which globs leave out.
fn without_dots(path: &Path) -> PathBuf {
    let is_there = |part: &Component<'_>| *part != Component::CurDir;
    path.components().filter(is_there).collect()
}

/// The values of the folders in the path of a file.
fn values_of(file: &Path) -> BTreeMap<String, Option<String>> {
    let folders = file.parent().into_iter().flat_map(Path::components);
    let values = folders.filter_map(|folder| {
        let name = folder.as_os_str().to_str()?;
        let (key, value) = name.split_once('=').filter(|(key, _)| !key.is_empty())?;
        let decoded = |text: &str| percent_decoded(text).unwrap_or_else(|| text.to_owned());
        let value = Some(decoded(value)).filter(|value| !value.is_empty() && value != NULL);
        Some((decoded(key), value))
    });
    values.collect()
}

/// Whole numbers without leading zeros, whose text is certain; days; else text.
fn type_of<'a>(values: impl Iterator<Item = &'a str> + Clone) -> DataType {
    let is_empty = values.clone().next().is_none();
    if is_empty {
        DataType::Utf8
    } else if values.clone().all(|value| whole(value).is_some()) {
        DataType::Int64
    } else if values.clone().all(|value| iso_day(value).is_some()) {
        DataType::Date32
    } else {
        DataType::Utf8
    }
}

fn whole(text: &str) -> Option<i64> {
    text.parse::<i64>()
        .ok()
        .filter(|number| number.to_string() == text)
}

/// The number of days since 1970-01-01 of a day as `2026-05-28`.
fn iso_day(text: &str) -> Option<i32> {
    let has_form = text.len() == 10
        && text.bytes().enumerate().all(|(at, byte)| {
            if at == 4 || at == 7 {
                byte == b'-'
            } else {
                byte.is_ascii_digit()
            }
        });
    if !has_form {
        return None;
    }
    let midnight = time::parse(text).ok()?;
    i32::try_from(midnight.div_euclid(DAY)).ok()
}

/// The number of days since 1970-01-01 of a day as `2026-05-28` or `20260528`.
fn day(text: &str) -> Option<i32> {
    if text.len() == 8 && text.bytes().all(|byte| byte.is_ascii_digit()) {
        return iso_day(&format!("{}-{}-{}", &text[..4], &text[4..6], &text[6..]));
    }
    iso_day(text)
}

/// The keys whose values are all days, with the days and their texts.
fn days<'a>(partitions: impl Iterator<Item = &'a Partition>) -> BTreeMap<&'a str, BTreeMap<i32, &'a str>> {
    let mut found: BTreeMap<&str, Option<BTreeMap<i32, &str>>> = BTreeMap::new();
    for (key, value) in partitions.flat_map(|partition| &partition.values) {
        let days = found.entry(key).or_insert_with(|| Some(BTreeMap::new()));
        match (
            value.as_deref().and_then(|value| Some((day(value)?, value))),
            days.as_mut(),
        ) {
            (Some((day, text)), Some(days)) => _ = days.insert(day, text),
            _ => *days = None,
        }
    }
    found
        .into_iter()
        .filter_map(|(key, days)| Some((key, days?)))
        .collect()
}

/// Returns which files are read: those of the newest day at or before the instant of `partition =
/// "latest"`, or all.
///
/// # Errors
/// The source asks for the newest day, and its folders name no day, several kinds of days, or none
/// at or before the instant.
pub(super) fn selected(source: &Source, partitions: &[Partition]) -> Result<Vec<bool>> {
    let Some(until) = source.latest_until else {
        return Ok(vec![true; partitions.len()]);
    };
    let wrong = |message: String| Error::in_file(&source.path, message);
    let days = days(partitions.iter());
    let mut keys = days.iter();
    let (key, days) = match (keys.next(), keys.next()) {
        (Some(found), None) => found,
        (None, _) => {
            let message =
                "expected folders of days such as dt=2026-05-28 for partition = \"latest\", found none";
            return Err(wrong(message.to_owned()));
        }
        (Some((a, _)), Some((b, _))) => {
            return Err(wrong(format!(
                "expected folders of one kind of days for partition = \"latest\", found `{a}` and `{b}`"
            )));
        }
    };
    let Some((_, newest)) = days.range(..=until.day).next_back() else {
        let first = days.values().next().copied().unwrap_or_default();
        return Err(wrong(format!(
            "expected a folder of a day at or before {}, found `{key}` from {first} on",
            time::format(until.at)
        )));
    };
    let newest = Some((*newest).to_owned());
    let is_newest = |partition: &Partition| partition.values.get(*key) == Some(&newest);
    Ok(partitions.iter().map(is_newest).collect())
}

/// Refuses a source of users with several days: each user would count once a day.
///
/// # Errors
/// The folders of the files name more than one day.
pub(super) fn check_one_day<'a>(
    source: &Source,
    partitions: impl Iterator<Item = &'a Partition>,
) -> Result<()> {
    let days = days(partitions);
    let Some((key, days)) = days.iter().find(|(_, days)| days.len() > 1) else {
        return Ok(());
    };
    let mut texts = days.values();
    let (first, last) = (texts.next().unwrap_or(&""), texts.next_back().unwrap_or(&""));
    let n = days.len();
    Err(Error::in_file(
        &source.path,
        format!("expected the users of one day, found {n} days in folders `{key}=`: {first} to {last}"),
    )
    .hint(format!(
        "a user would count once a day: take the newest day with partition = \"latest\" in [input.users], or a \
         narrower path, such as {}",
        source.path.join(format!("{key}={last}")).display()
    )))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::LatestUntil;
    use arrow_array::Array;
    use arrow_array::cast::AsArray;
    use arrow_cast::cast;

    fn of_paths(paths: &[&str]) -> Vec<Partition> {
        let files: Vec<PathBuf> = paths.iter().map(|path| Path::new("root").join(path)).collect();
        partitions(&Source::at("root/**/*.csv"), files.iter())
    }

    #[test]
    fn folders_are_columns_with_types() {
        let check = |paths: &[&str], key: &str, expected: Option<(DataType, Option<&str>)>| {
            let partition = &of_paths(paths)[0];
            let found = partition.array(key, 2).map(|array| {
                assert_eq!(array.len(), 2);
                assert_eq!(Some(array.data_type()), partition.data_type(key));
                let texts = cast(&array, &DataType::Utf8).unwrap();
                let texts = texts.as_string::<i32>();
                let text = texts.is_valid(1).then(|| texts.value(1).to_owned());
                (array.data_type().clone(), text)
            });
            let expected = expected.map(|(data_type, text)| (data_type, text.map(str::to_owned)));
            assert_eq!(found, expected, "{paths:?}");
        };
        let text = |text| Some((DataType::Utf8, Some(text)));
        let whole = |text| Some((DataType::Int64, Some(text)));
        check(
            &["dt=2026-05-28/a.csv"],
            "dt",
            Some((DataType::Date32, Some("2026-05-28"))),
        );
        check(&["dt=2026-05-28/a.csv", "dt=x/a.csv"], "dt", text("2026-05-28"));
        check(&["dt=2026-02-30/a.csv"], "dt", text("2026-02-30"));
        check(&["x/n=-7/a.csv", "x/n=12/a.csv"], "n", whole("-7"));
        check(&["n=07/a.csv"], "n", text("07"));
        check(&["n=7/a.csv", "n=seven/a.csv"], "n", text("7"));
        check(
            &["n=__HIVE_DEFAULT_PARTITION__/a.csv", "n=1/a.csv"],
            "n",
            Some((DataType::Int64, None)),
        );
        check(&["n=/a.csv"], "n", Some((DataType::Utf8, None)));
        check(&["c=a%2Fb%20%E7%94%A8/a.csv"], "c", text("a/b 用"));
        check(&["c=100%/a.csv"], "c", text("100%"));
        check(&["c=a=b/a.csv"], "c", text("a=b"));
        check(&["=a/a.csv"], "", None);
        check(&["c/a=b.csv"], "a", None);
        check(&["d=1/a.csv", "a.csv"], "d", whole("1"));
        check(&["a.csv", "d=1/a.csv"], "d", None);
    }

    #[test]
    fn the_newest_day_is_selected_and_several_days_are_refused() {
        let check = |paths: &[&str], until: Option<&str>, expected: Result<&[&str], &str>| {
            let source = Source {
                latest_until: until.map(|until| LatestUntil {
                    at: time::parse(until).unwrap(),
                    day: (time::parse(until).unwrap().div_euclid(DAY)) as i32,
                }),
                ..Source::at("root")
            };
            let partitions = of_paths(paths);
            let found = selected(&source, &partitions).and_then(|is_selected| {
                let kept = is_selected.iter().zip(paths.iter().zip(&partitions));
                let kept: Vec<(&&str, &Partition)> = kept
                    .filter(|(is_selected, _)| **is_selected)
                    .map(|(_, kept)| kept)
                    .collect();
                check_one_day(&source, kept.iter().map(|(_, partition)| *partition))?;
                Ok(kept.iter().map(|(name, _)| **name).collect::<Vec<&str>>())
            });
            match (found, expected) {
                (Ok(found), Ok(expected)) => assert_eq!(found, expected),
                (Err(found), Err(expected)) => assert!(found.to_string().contains(expected), "{found}"),
                (found, expected) => panic!("{paths:?}: expected {expected:?}, found {found:?}"),
            }
        };
        let days = [
            "dt=2026-05-27/a.csv",
            "dt=2026-05-28/a.csv",
            "dt=2026-05-28/b.csv",
        ];
        check(
            &days,
            None,
            Err("found 2 days in folders `dt=`: 2026-05-27 to 2026-05-28"),
        );
        check(&days, None, Err("root/dt=2026-05-28"));
        check(&days, Some("2026-05-29"), Ok(&days[1..]));
        check(&days, Some("2026-05-28T00:00:00Z"), Ok(&days[1..]));
        check(&days, Some("2026-05-27T23:00:00Z"), Ok(&days[..1]));
        check(&days, Some("2026-05-26"), Err("found `dt` from 2026-05-27 on"));
        check(&days[1..], None, Ok(&days[1..]));
        check(
            &["d=20260527/a.csv", "d=20260528/a.csv"],
            None,
            Err("found 2 days"),
        );
        check(
            &["d=20260527/a.csv", "d=20260528/a.csv"],
            Some("2026-05-28"),
            Ok(&["d=20260528/a.csv"]),
        );
        check(&["d=1/a.csv", "d=2/a.csv"], None, Ok(&["d=1/a.csv", "d=2/a.csv"]));
        check(&["d=1/a.csv"], Some("2026-05-28"), Err("found none"));
        check(
            &["a=20260527/b=20260528/a.csv"],
            Some("2026-05-28"),
            Err("found `a` and `b`"),
        );
    }
}
