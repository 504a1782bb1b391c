//! What users read: tables, ages, JSON and YAML as kubectl prints them.

pub mod output;
pub mod table;

pub use output::Output;
pub use table::Table;
