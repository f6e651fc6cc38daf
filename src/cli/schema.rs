//! `sluice schema`: the keys of the documents that people write.

use clap::{Args, ValueEnum};
use serde_json::Value;

use crate::base::error::Result;
use crate::base::json::to_json;
use crate::cli::terminal::{DONE, Terminal, print_data};
use crate::finops::Budget;
use crate::gate::GatePolicy;
use crate::prices::Prices;
use crate::report::reference_page;
use crate::scenario::Scenario;

/// Print the JSON Schema of a document for editors, or its reference page
#[derive(Debug, Args)]
#[command(after_help = include_str!("help/schema.txt"))]
pub(super) struct SchemaArgs {
    /// Document
    #[arg(value_name = "DOCUMENT")]
    document: Document,
    /// Print the reference page of the document in place of its schema
    #[arg(long)]
    markdown: bool,
}

/// A document that people write.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Document {
    /// A study: plan, inputs, rules of decisions
    Scenario,
    /// Policy of the gate (`sluice gate --policy`)
    Gate,
    /// Prices of tokens (`sluice finops --prices`)
    Prices,
    /// Budgets (`sluice finops --budget`)
    Budgets,
}

impl Document {
    fn name(self) -> &'static str {
        match self {
            Self::Scenario => "scenario",
            Self::Gate => "gate",
            Self::Prices => "prices",
            Self::Budgets => "budgets",
        }
    }

    fn schema(self) -> Value {
        match self {
            Self::Scenario => Scenario::schema(),
            Self::Gate => GatePolicy::schema(),
            Self::Prices => Prices::schema(),
            Self::Budgets => Budget::schema(),
        }
    }
}

pub(super) fn run(args: &SchemaArgs, _: &Terminal) -> Result<u8> {
    let schema = args.document.schema();
    print_data(&if args.markdown {
        reference_page(&schema, args.document.name())
    } else {
        to_json(&schema)
    })?;
    Ok(DONE)
}
