//! Rows for people: as wide as the terminal. What a column does not hold goes on below it; no word is broken.

use std::io::{self, Write};

use anstyle::Style;

/// A table that is known whole before it is shown.
#[derive(Debug)]
pub(super) struct Table {
    titles: Vec<&'static str>,
    rows: Vec<Vec<Cell>>,
    /// How narrow each column may become.
    least: Vec<usize>,
    /// Columns of numbers.
    right: Vec<&'static str>,
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
            right: Vec::new(),
        }
    }

    /// These columns stand on the right.
    pub(super) fn numbers(mut self, titles: &[&'static str]) -> Self {
        self.right.extend(titles);
        self
    }

    /// Leaves a column out in which every row says the same.
    pub(super) fn leave_out_same(&mut self, title: &str) {
        let Some(at) = self.titles.iter().position(|it| *it == title) else {
            return;
        };
        let mut texts = self.rows.iter().map(|row| row.get(at).map(|it| &it.text));
        let one = texts.next();
        if texts.any(|text| Some(text) != one) {
            return;
        }
        self.titles.remove(at);
        self.least.remove(at);
        for row in &mut self.rows {
            row.remove(at);
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
        self.row(out, &titles.collect::<Vec<_>>(), &widths)?;
        for row in &self.rows {
            self.row(out, row, &widths)?;
        }
        Ok(())
    }

    /// One row, in as many lines as its longest cell takes.
    fn row(&self, out: &mut impl Write, cells: &[Cell], widths: &[usize]) -> io::Result<()> {
        let cells = cells.iter().zip(widths).zip(&self.titles);
        let cells: Vec<_> = cells
            .map(|((cell, room), title)| {
                let lines = wrap(&cut(&cell.text, WIDEST), *room);
                (lines, cell.style, *room, self.right.contains(title))
            })
            .collect();
        let height = cells.iter().map(|(lines, ..)| lines.len()).max();
        for number in 0..height.unwrap_or(0) {
            // Written before the next text: nothing stands behind the last one of a line.
            let mut blanks = 0;
            for (lines, style, room, is_number) in &cells {
                let text = lines.get(number).map_or("", String::as_str);
                let left = room.saturating_sub(width(text));
                if text.is_empty() {
                    blanks += left + BETWEEN;
                    continue;
                }
                let (before, behind) = if *is_number { (left, 0) } else { (0, left) };
                blanks += before;
                write!(out, "{:blanks$}{style}{text}{style:#}", "")?;
                blanks = behind + BETWEEN;
            }
            writeln!(out)?;
        }
        Ok(())
    }

    /// How narrow each column may become, so that no word of it is broken.
    fn narrowest(&self) -> Vec<usize> {
        let longest = |text: &str| {
            let words = text.split(' ').map(width).max();
            words.unwrap_or(0).min(LONGEST_WORD)
        };
        let mut least = self.least.clone();
        for (least, title) in least.iter_mut().zip(&self.titles) {
            *least = (*least).max(longest(title));
        }
        for row in &self.rows {
            for (least, cell) in least.iter_mut().zip(row) {
                *least = (*least).max(longest(&cell.text));
            }
        }
        least
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
        let narrowest = self.narrowest();
        loop {
            if needed(&widths) <= room {
                return widths;
            }
            let columns = widths.iter_mut().zip(&narrowest);
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

/// A text in lines of a width, broken between words; a word that is longer than that, within it.
fn wrap(text: &str, room: usize) -> Vec<String> {
    if width(text) <= room {
        return vec![text.to_owned()];
    }
    let (mut lines, mut line) = (Vec::new(), String::new());
    for word in text.split(' ') {
        if !line.is_empty() {
            if width(&line) + 1 + width(word) > room {
                lines.push(std::mem::take(&mut line));
            } else {
                line.push(' ');
            }
        }
        for c in word.chars() {
            if !line.is_empty() && width(&line) + columns(c) > room {
                lines.push(std::mem::take(&mut line));
            }
            line.push(c);
        }
    }
    lines.push(line);
    lines
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
/// Of a word that is not broken: an id of a token fits.
const LONGEST_WORD: usize = 40;
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
    fn the_widest_column_gives_first_and_its_texts_go_on_below() {
        assert_eq!(
            shown(None),
            "ONE    OTHER\na      b\nshort  very much longer than that\n"
        );
        assert_eq!(
            shown(Some(20)),
            "ONE    OTHER\na      b\nshort  very much\n       longer than\n       that\n"
        );
        // No word is broken.
        assert_eq!(
            shown(Some(12)),
            "ONE    a\nOTHER  b\n\nONE    short\nOTHER  very much longer than that\n\n"
        );
    }

    #[test]
    fn numbers_stand_on_the_right() {
        let mut table = Table::new(&[("ONE", 3), ("MANY", 4), ("X", 1)]).numbers(&["MANY", "X"]);
        table.add(vec!["a".into(), "5".into(), "".into()]);
        table.add(vec!["b".into(), "12345".into(), "7".into()]);
        let mut out = Vec::new();
        table.show(&mut out, None).unwrap();
        let out = anstream::adapter::strip_bytes(&out).into_vec();
        assert_eq!(out, b"ONE   MANY  X\na        5\nb    12345  7\n");
    }

    #[test]
    fn a_column_in_which_all_rows_say_the_same_is_left_out() {
        for (second, wanted) in [
            ("prod", "ONE\na\nb\n"),
            ("dev", "ONE  ENV\na    prod\nb    dev\n"),
        ] {
            let mut table = Table::new(&[("ONE", 3), ("ENV", 3)]);
            table.add(vec!["a".into(), "prod".into()]);
            table.add(vec!["b".into(), second.into()]);
            table.leave_out_same("ENV");
            let mut out = Vec::new();
            table.show(&mut out, None).unwrap();
            assert_eq!(
                anstream::adapter::strip_bytes(&out).into_vec(),
                wanted.as_bytes()
            );
        }
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
