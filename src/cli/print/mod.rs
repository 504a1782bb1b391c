//! What users read: tables, ages, JSON and YAML as kubectl prints them.

pub mod columns;
pub mod jsonpath;
pub mod output;
pub mod table;

pub use columns::Columns;
pub use output::Output;
pub use table::Table;
