//! A log that an engine reads: its rows arrive in tasks as chunks, in any order and division.

use std::collections::BTreeMap;

use crate::base::block::OnBlock;
use crate::base::error::Result;
use crate::input::{Turns, release};
use crate::replay::context::{Inputs, ReplayContext, Scan, open_chunk};
use crate::replay::facts::{Facts, Since};
use crate::replay::row_sum::RowSum;
use crate::replay::scan::LogPart;
use crate::replay::strata::Strata;
use crate::replay::tasks::{Note, TurnDealer, note};
use crate::replay::unknown::{N_EXAMPLES, UnknownHashes};
use crate::scenario::{OnBadRow, Source};

/// Reads the rows of one source of the log, chunk by chunk, and passes the blocks of all partitions to
/// `on_block`. `next_chunk` writes the next chunk to the path of `source`, and returns whether there is
/// one. `idx` is the index of the source; `inputs` need no traffic.
///
/// # Errors
/// When a chunk cannot be read, or the scenario's policies refuse a row.
pub fn read_rows(
    ctx: &ReplayContext<'_>,
    inputs: &Inputs<'_>,
    facts: &Facts,
    (idx, source): (usize, &Source),
    on_bad_row: OnBadRow,
    next_chunk: &mut dyn FnMut() -> Result<bool>,
    on_block: &mut OnBlock<'_>,
) -> Result<()> {
    let strata = Strata::from_plan(ctx.plan, &facts.tenants, ctx.as_of)?;
    let scan = Scan::of_task(ctx, inputs, strata, facts, false)?;
    let mut dealer = TurnDealer::new(&scan, facts);
    let mut sum = RowSum::default();
    let mut releases = Releases::default();
    while next_chunk()? {
        let reader = open_chunk(ctx, source, on_bad_row)?;
        for part in &reader.table().parts {
            let log_part = LogPart {
                reader: idx,
                part: *part,
                part_idx: 0,
                since: Since { counted_until: None },
            };
            let mut unknown = UnknownHashes::default();
            let mut on_turns = |turns: &mut Turns, admitted: &[u16]| {
                sum.add(turns);
                let codes = admitted.iter().map(|row| turns.release.values[usize::from(*row)]);
                let others = codes.filter(|code| *code >= release::NONE);
                others.for_each(|code| unknown.note_release(code, Some(0)));
            };
            dealer.deal(&reader, &log_part, &mut on_turns, on_block)?;
            if releases.lacks(&unknown) {
                let parts = [(0, *part)];
                releases.add(
                    unknown
                        .read(std::slice::from_ref(&reader), &parts, facts.seed)?
                        .releases,
                );
            }
        }
    }
    let releases = releases.0.into_values().collect();
    let source = idx;
    note(
        &Note::Log {
            source,
            sum,
            releases,
        },
        on_block,
    )?;
    dealer.finish(on_block)
}

/// Releases that are not known, by their codes: those with the smallest codes.
#[derive(Default)]
struct Releases(BTreeMap<i64, String>);

impl Releases {
    /// Whether one of some releases is to be kept, and is not.
    fn lacks(&self, unknown: &UnknownHashes) -> bool {
        let last = self.0.last_key_value().map(|(code, _)| *code);
        let is_kept = |code: i64| self.0.len() < N_EXAMPLES || last.is_some_and(|last| code < last);
        unknown
            .release_codes()
            .any(|code| !self.0.contains_key(&code) && is_kept(code))
    }

    fn add(&mut self, releases: Vec<String>) {
        let codes = releases
            .into_iter()
            .map(|text| (release::other(text.as_bytes()), text));
        self.0.extend(codes);
        while self.0.len() > N_EXAMPLES {
            self.0.pop_last();
        }
    }
}
