//! Annotations, as OPA reads them: a block of comments that begins with `# METADATA`, about what stands below it.

use crate::policy::lexical;

/// The annotations of a file, each with the line below it.
pub(in crate::policy) fn blocks(text: &str) -> Vec<(usize, String)> {
    let mut found: Vec<(usize, String)> = Vec::new();
    let mut is_open = false;
    let text = text.trim_start_matches(lexical::BYTE_ORDER);
    for (number, line) in text.lines().enumerate() {
        let comment = line.trim_start().strip_prefix('#');
        match (comment, is_open) {
            (Some(comment), _) if comment.trim() == "METADATA" => {
                is_open = true;
                found.push((number + 2, String::new()));
            }
            (Some(comment), true) => {
                if let Some((below, block)) = found.last_mut() {
                    *below = number + 2;
                    // One space belongs to the comment, and further ones to the YAML.
                    block.push_str(comment.strip_prefix(' ').unwrap_or(comment));
                    block.push('\n');
                }
            }
            _ => is_open = false,
        }
    }
    found
}
