//! How figures are printed: a plain table, and a line for each target.

use crate::say;

/// Prints a title and rows of equally many cells, the first row being the head. The first column is
/// text, the others are figures.
pub(crate) fn print(title: &str, rows: &[Vec<String>]) {
    say(&format!("\n{title}\n{}", layout(rows)));
}

/// Prints whether a target was met.
pub(crate) fn target(met: bool, what: &str) {
    say(&format!("  {}: {what}\n", if met { "met" } else { "MISSED" }));
}

/// A row.
pub(crate) fn row<const N: usize>(cells: [&str; N]) -> Vec<String> {
    cells.map(str::to_owned).to_vec()
}

/// A whole number with commas between thousands.
pub(crate) fn whole(number: f64) -> String {
    let digits = format!("{number:.0}");
    let mut out = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

fn layout(rows: &[Vec<String>]) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| {
        rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let mut out = String::new();
    for row in rows {
        let mut line = String::new();
        for (column, (cell, width)) in row.iter().zip(&widths).enumerate() {
            line.push_str(&if column == 0 { format!("{cell:<width$}") } else { format!("  {cell:>width$}") });
        }
        out.push_str(&format!("  {}\n", line.trim_end()));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_and_figures() {
        for (number, expected) in
            [(0.0, "0"), (999.6, "1,000"), (1_234_567.0, "1,234,567"), (12_345.0, "12,345")]
        {
            assert_eq!(whole(number), expected);
        }
        let rows = [row(["", "a"]), row(["long", "1,000"])];
        assert_eq!(layout(&rows), "            a\n  long  1,000\n");
    }
}
