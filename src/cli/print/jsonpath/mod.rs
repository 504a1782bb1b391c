//! kubectl's JSONPath templates: `{.metadata.name}`, `{range .items[*]}…{end}`,
//! `{.items[?(@.type=="Ready")].status}`, text between the braces.

mod eval;
mod parse;
#[cfg(test)]
mod tests;

pub use eval::plain;
pub use parse::{Template, relaxed};
