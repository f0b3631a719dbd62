//! Tables for people. On a terminal they are as wide as it is, and long names go on in a second line;
//! elsewhere every row is one line, for `grep`.

use std::fmt;

use comfy_table::{CellAlignment, ContentArrangement, presets};
use console::Term;

/// Rows under a line of headings.
pub(super) struct Table(comfy_table::Table);

impl Table {
    /// A table with these headings; those that begin with `<` stand, with their column, to the left, and
    /// numbers to the right.
    pub(super) fn new(headings: &[&str]) -> Self {
        let terminal = Term::stdout();
        let width = terminal.is_term().then(|| terminal.size_checked()).flatten();
        Self::of_width(headings, width.map(|(_, columns)| columns))
    }

    fn of_width(headings: &[&str], width: Option<u16>) -> Self {
        let mut table = comfy_table::Table::new();
        table
            .load_style(presets::NOTHING)
            .set_header(headings.iter().map(|h| h.trim_start_matches('<')));
        if let Some(width) = width {
            table
                .set_width(width)
                .set_content_arrangement(ContentArrangement::Dynamic);
        }
        for (column, heading) in table.column_iter_mut().zip(headings) {
            column.set_padding((0, 2));
            column.set_cell_alignment(match heading.starts_with('<') {
                true => CellAlignment::Left,
                false => CellAlignment::Right,
            });
        }
        Self(table)
    }

    /// Adds a row.
    pub(super) fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        self.0.add_row(cells);
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.trim_fmt())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(width: Option<u16>) -> String {
        let mut table = Table::of_width(&["<ReLU", "map"], width);
        table.row(["n".repeat(100), "8x8".to_owned()]);
        table.row(["short".to_owned(), "112x112".to_owned()]);
        table.to_string()
    }

    #[test]
    fn columns_hold_whatever_the_names() {
        let text = table(None);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len(), 3, "{text}");
        let ends: Vec<usize> = lines.iter().map(|line| line.len()).collect();
        assert_eq!(ends, [109; 3], "{text}");
    }

    #[test]
    fn a_narrow_terminal_is_not_overrun() {
        let text = table(Some(40));
        assert!(text.lines().all(|line| line.chars().count() <= 40), "{text}");
        assert_eq!(text.matches('n').count(), 100, "{text}");
    }
}
