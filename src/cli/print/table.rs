//! Left-aligned columns, three blanks apart.

/// Rows below a heading.
#[derive(Debug, Default)]
pub struct Table {
    rows: Vec<Vec<String>>,
}

impl Table {
    /// A table with its heading.
    #[must_use]
    pub fn new(heading: &[&str]) -> Self {
        Self { rows: vec![heading.iter().map(|&cell| cell.to_owned()).collect()] }
    }

    /// Adds a row; an empty cell prints as it is.
    pub fn row(&mut self, cells: Vec<String>) {
        self.rows.push(cells);
    }

    /// True without any row, the heading included.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// The text, a line each row, without blanks at the ends of lines.
    #[must_use]
    pub fn render(&self) -> String {
        self.render_below(&mut Vec::new())
    }

    /// The same below an earlier table: no column is narrower than `widths`,
    /// which grow with this one.
    #[must_use]
    pub fn render_below(&self, widths: &mut Vec<usize>) -> String {
        let columns = self.rows.iter().map(Vec::len).max().unwrap_or(0);
        widths.resize(columns.max(widths.len()), 0);
        for (column, width) in widths.iter_mut().enumerate() {
            let cells = self.rows.iter().filter_map(|row| row.get(column));
            *width = cells.map(|cell| cell.chars().count()).max().unwrap_or(0).max(*width);
        }
        let mut text = String::new();
        for row in &self.rows {
            let mut line = String::new();
            for (cell, width) in row.iter().zip(widths.iter()) {
                line.push_str(cell);
                line.extend(std::iter::repeat_n(' ', width - cell.chars().count() + 3));
            }
            text.push_str(line.trim_end());
            text.push('\n');
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let mut table = Table::new(&["NAME", "READY"]);
        table.row(vec!["web".into(), "1/1".into()]);
        table.row(vec!["database".into(), "0/1".into()]);
        assert_eq!(table.render(), "NAME       READY\nweb        1/1\ndatabase   0/1\n");
    }

    #[test]
    fn a_table_below_another_keeps_its_columns() {
        let (mut first, mut second) = (Table::new(&["NAME", "READY"]), Table::default());
        second.row(vec!["x".into(), "1/1".into()]);
        first.row(vec!["database".into(), "0/1".into()]);
        let mut widths = Vec::new();
        assert!(first.render_below(&mut widths).ends_with("database   0/1\n"));
        assert_eq!(second.render_below(&mut widths), "x          1/1\n");
    }
}
