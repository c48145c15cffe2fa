//! Rows for people: as wide as the terminal, with what is too long cut.

use std::io::{self, Write};

use anstyle::Style;

/// A table that is known whole before it is shown.
#[derive(Debug)]
pub(super) struct Table {
    titles: Vec<&'static str>,
    rows: Vec<Vec<Cell>>,
    /// How narrow each column may become.
    least: Vec<usize>,
}

#[derive(Clone, Debug)]
pub(super) struct Cell {
    pub(super) text: String,
    pub(super) style: Style,
}

impl<T: Into<String>> From<T> for Cell {
    fn from(text: T) -> Self {
        Self {
            text: text.into(),
            style: Style::new(),
        }
    }
}

impl Table {
    /// Columns, each with the width that it keeps at least.
    pub(super) fn new(columns: &[(&'static str, usize)]) -> Self {
        Self {
            titles: columns.iter().map(|(title, _)| *title).collect(),
            least: columns.iter().map(|(_, least)| *least).collect(),
            rows: Vec::new(),
        }
    }

    pub(super) fn add(&mut self, cells: Vec<Cell>) {
        self.rows.push(cells);
    }

    pub(super) fn show(&self, out: &mut impl Write, room: Option<usize>) -> io::Result<()> {
        let widths = self.widths(room);
        if room.is_some_and(|room| needed(&widths) > room) {
            return self.below_one_another(out);
        }
        let titles = self.titles.iter().map(|title| Cell {
            text: (*title).to_owned(),
            style: Style::new().bold(),
        });
        line(out, &titles.collect::<Vec<_>>(), &widths)?;
        for row in &self.rows {
            line(out, row, &widths)?;
        }
        Ok(())
    }

    /// Each cell in a line of its own, for a terminal that the columns do not fit in side by side.
    fn below_one_another(&self, out: &mut impl Write) -> io::Result<()> {
        let widest = self.titles.iter().map(|title| width(title)).max();
        let widest = widest.unwrap_or(0);
        for row in &self.rows {
            for (title, cell) in self.titles.iter().zip(row) {
                if cell.text.is_empty() {
                    continue;
                }
                let (bold, style) = (Style::new().bold(), cell.style);
                let text = cut(&cell.text, WIDEST);
                let blanks = widest - width(title) + BETWEEN;
                write!(out, "{bold}{title}{bold:#}{:blanks$}", "")?;
                writeln!(out, "{style}{text}{style:#}")?;
            }
            writeln!(out)?;
        }
        Ok(())
    }

    /// What each column needs; where there is less room, the widest gives first.
    fn widths(&self, room: Option<usize>) -> Vec<usize> {
        let mut widths: Vec<usize> = self.titles.iter().map(|title| width(title)).collect();
        for row in &self.rows {
            for (widest, cell) in widths.iter_mut().zip(row) {
                *widest = (*widest).max(width(&cell.text));
            }
        }
        // A record may hold a text of any length: what is longer than this is cut everywhere.
        for widest in &mut widths {
            *widest = (*widest).min(WIDEST);
        }
        let Some(room) = room else { return widths };
        loop {
            if needed(&widths) <= room {
                return widths;
            }
            let columns = widths.iter_mut().zip(&self.least);
            let wide = columns.filter(|(width, least)| **width > **least);
            let Some((widest, _)) = wide.max_by_key(|(width, _)| **width) else {
                return widths;
            };
            *widest -= 1;
        }
    }
}

/// Of a line with columns that are so wide.
fn needed(widths: &[usize]) -> usize {
    let between = BETWEEN * widths.len().saturating_sub(1);
    widths.iter().sum::<usize>() + between
}

fn line(out: &mut impl Write, cells: &[Cell], widths: &[usize]) -> io::Result<()> {
    let last = cells.len().saturating_sub(1);
    for (number, (cell, room)) in cells.iter().zip(widths).enumerate() {
        let shown = cut(&cell.text, *room);
        let style = cell.style;
        write!(out, "{style}{shown}{style:#}")?;
        if number < last {
            let blanks = room.saturating_sub(width(&shown)) + BETWEEN;
            write!(out, "{:blanks$}", "")?;
        }
    }
    writeln!(out)
}

/// As much of a text as there is room for.
pub(super) fn cut(text: &str, room: usize) -> String {
    if width(text) <= room {
        return text.to_owned();
    }
    let mut left = room.saturating_sub(1);
    let mut kept = String::new();
    for c in text.chars() {
        let wide = columns(c);
        if wide > left {
            break;
        }
        left -= wide;
        kept.push(c);
    }
    kept.push('…');
    kept
}

pub(super) fn width(text: &str) -> usize {
    text.chars().map(columns).sum()
}

/// Columns of a character, nearly: the wide scripts take two.
fn columns(c: char) -> usize {
    match c {
        '\u{300}'..='\u{36f}' => 0,
        '\u{1100}'..='\u{115f}'
        | '\u{2e80}'..='\u{a4cf}'
        | '\u{ac00}'..='\u{d7a3}'
        | '\u{f900}'..='\u{faff}'
        | '\u{fe30}'..='\u{fe6f}'
        | '\u{ff00}'..='\u{ff60}'
        | '\u{1f300}'..='\u{1faff}'
        | '\u{20000}'..='\u{3fffd}' => 2,
        _ => 1,
    }
}

/// The width of the terminal; `None`: it is none, and nothing is cut but what no column holds.
pub(super) fn terminal() -> Option<usize> {
    use std::io::IsTerminal;
    let stdout = io::stdout();
    if !stdout.is_terminal() {
        return None;
    }
    let size = rustix::termios::tcgetwinsize(&stdout).ok();
    let width = size.map(|size| usize::from(size.ws_col));
    Some(width.filter(|width| *width > 20).unwrap_or(100))
}

/// Of a column.
const WIDEST: usize = 4000;
/// Blanks between columns.
const BETWEEN: usize = 2;

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(room: Option<usize>) -> String {
        let mut table = Table::new(&[("ONE", 3), ("OTHER", 6)]);
        table.add(vec!["a".into(), "b".into()]);
        table.add(vec!["short".into(), "very much longer than that".into()]);
        let mut out = Vec::new();
        table.show(&mut out, room).unwrap();
        let out = String::from_utf8(out).unwrap();
        anstream::adapter::strip_str(&out).to_string()
    }

    #[test]
    fn the_widest_column_gives_first() {
        assert_eq!(
            shown(None),
            "ONE    OTHER\na      b\nshort  very much longer than that\n"
        );
        assert_eq!(
            shown(Some(20)),
            "ONE    OTHER\na      b\nshort  very much lo…\n"
        );
        assert_eq!(shown(Some(11)), "ONE  OTHER\na    b\nsh…  very …\n");
        // No narrower than the columns must be.
        assert_eq!(
            shown(Some(10)),
            "ONE    a\nOTHER  b\n\nONE    short\nOTHER  very much longer than that\n\n"
        );
    }

    #[test]
    fn a_text_of_any_length_is_shown_in_part() {
        let mut table = Table::new(&[("ONE", 3), ("OTHER", 6)]);
        table.add(vec!["x".repeat(100_000).into(), "y".repeat(100_000).into()]);
        for room in [None, Some(1), Some(80), Some(1 << 20)] {
            let mut out = Vec::new();
            table.show(&mut out, room).unwrap();
            assert!(out.len() < 20_000);
        }
    }

    #[test]
    fn wide_letters_count_twice() {
        assert_eq!(cut("日本語の名前", 7), "日本語…");
        assert_eq!(cut("abc", 3), "abc");
    }
}
