//! Integration tests: one binary, modules like the commands. They use only what is in the tree.

mod bad_input;
mod crash;
mod fuzz;
mod help;
mod layer;
mod real_data;
mod report;
mod run;
mod small;
mod support;
