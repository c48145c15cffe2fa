//! Tables for spreadsheets.

use std::io::{self, Write};

/// One line of a table.
pub fn line(out: &mut impl Write, cells: &[String]) -> io::Result<()> {
    let cells: Vec<String> = cells.iter().map(|text| cell(text)).collect();
    writeln!(out, "{}\r", cells.join(","))
}

/// A cell that no spreadsheet takes for a formula.
fn cell(text: &str) -> String {
    // Blanks before it, and its wide forms, do not keep every spreadsheet from it.
    let is_formula = text.trim_start().starts_with([
        '=', '+', '-', '@', '|', '%', '\u{ff1d}', '\u{ff0b}', '\u{ff0d}', '\u{ff20}',
    ]) && text.parse::<f64>().is_err()
        || text.starts_with(['\t', '\r', '\n']);
    let text = if is_formula {
        format!("'{text}")
    } else {
        text.to_owned()
    };
    if text.contains([',', '"', '\n', '\r', ';']) {
        format!("\"{}\"", text.replace('"', "\"\""))
    } else {
        text
    }
}

#[cfg(test)]
mod tests {
    use super::cell;

    #[test]
    fn no_cell_is_a_formula() {
        for (text, wanted) in [
            ("plain", "plain"),
            ("=1+1", "'=1+1"),
            ("@SUM(1)", "'@SUM(1)"),
            (" =1", "' =1"),
            ("\u{ff1d}1", "'\u{ff1d}1"),
            ("=A1;\"x\"", "\"'=A1;\"\"x\"\"\""),
            ("\tx", "'\tx"),
            ("-1.5", "-1.5"),
            ("-a, \"b\"", "\"'-a, \"\"b\"\"\""),
            ("a,b", "\"a,b\""),
        ] {
            assert_eq!(cell(text), wanted);
        }
    }
}
