//! Columns of a text, found without reading its line: a line may be as long as a file.

/// How many bytes lie between two places whose characters are counted beforehand.
const BLOCK: usize = 256;

pub(super) struct Columns<'t> {
    text: &'t str,
    /// How many characters stand before each block.
    before: Vec<usize>,
    /// Where each line begins.
    lines: Vec<usize>,
}

impl<'t> Columns<'t> {
    pub(super) fn of(text: &'t str) -> Self {
        let mut count = 0;
        let blocks = text.as_bytes().chunks(BLOCK);
        let before = blocks.map(|block| {
            let before = count;
            count += characters(block);
            before
        });
        let ends = text.match_indices('\n');
        Self {
            text,
            before: before.collect(),
            lines: std::iter::once(0)
                .chain(ends.map(|(end, _)| end + 1))
                .collect(),
        }
    }

    /// The column of the character that begins there, from 1.
    pub(super) fn column(&self, start: usize) -> usize {
        let line = self.lines.partition_point(|line| *line <= start);
        let line = line.checked_sub(1).and_then(|line| self.lines.get(line));
        let line = line.map_or(0, |line| self.characters(*line));
        self.characters(start).saturating_sub(line) + 1
    }

    /// How many characters stand before a place.
    fn characters(&self, end: usize) -> usize {
        let block = end / BLOCK;
        let before = self.before.get(block).copied().unwrap_or_default();
        let rest = self.text.as_bytes().get(block * BLOCK..end);
        before + characters(rest.unwrap_or_default())
    }
}

/// How many characters begin in these bytes.
fn characters(bytes: &[u8]) -> usize {
    bytes.iter().filter(|byte| **byte & 0xc0 != 0x80).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_those_of_the_characters() {
        let line = "x := [\"ü😀\", \"a\"]\t# é".repeat(40);
        let text = format!("\n{line}\n\n{}\nz", line.repeat(2));
        let columns = Columns::of(&text);
        for (start, _) in text.char_indices() {
            let line = text.get(..start).unwrap().rsplit('\n').next().unwrap();
            assert_eq!(columns.column(start), line.chars().count() + 1, "{start}");
        }
        // What ends on a block.
        let text = "a".repeat(2 * BLOCK);
        assert_eq!(Columns::of(&text).column(BLOCK), BLOCK + 1);
    }
}
