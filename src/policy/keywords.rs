//! `import future.keywords`, the header of policies from before Rego v1.
//!
//! In v1 its words are part of the language, and OPA takes the import for nothing, beside `import rego.v1` too. The
//! engine refuses two that name the same word. Only words that v1 has are left out: what else is imported is for
//! others to refuse.

/// The text without these imports. Nothing moves.
pub(super) fn without_imports(text: String) -> String {
    if !text.contains("future") {
        return text;
    }
    let mut kept = String::with_capacity(text.len());
    let mut is_header = true;
    for line in text.split_inclusive('\n') {
        let (code, _) = line.split_once('#').unwrap_or((line, ""));
        let mut words = code.split_whitespace();
        let first = words.next();
        // Behind the header there are texts of several lines, in which this stands for nothing.
        is_header &= matches!(first, None | Some("package" | "import"));
        let is_redundant = is_header
            && first == Some("import")
            && words.next().is_some_and(is_of_v1)
            && words.next().is_none();
        if is_redundant {
            kept.extend(std::iter::repeat_n(' ', code.trim_end().len()));
            kept.push_str(line.get(code.trim_end().len()..).unwrap_or_default());
        } else {
            kept.push_str(line);
        }
    }
    kept
}

fn is_of_v1(path: &str) -> bool {
    let word = path.strip_prefix("future.keywords");
    word.is_some_and(|word| ["", ".contains", ".every", ".if", ".in"].contains(&word))
}

#[cfg(test)]
mod tests {
    use super::super::bundle::tests::problems;

    fn said(imports: &str) -> Vec<String> {
        let rule = "deny contains \"x\" if input.nowhere";
        problems(&[("p.rego", &format!("package dtgate.p\n{imports}\n{rule}\n"))])
    }

    #[test]
    fn the_header_of_older_policies_is_taken_for_nothing() {
        for imports in [
            "import future.keywords.contains\nimport future.keywords.if",
            "import future.keywords",
            "\timport  future.keywords.in # for v0\nimport future.keywords.every\r",
            "import rego.v1\nimport future.keywords.if",
            "import future.keywords\nimport rego.v1",
            "import future.keywords.if\nimport future.keywords",
            "import future.keywords.if\nimport future.keywords.if\n",
        ] {
            let lines = imports.lines().count() + 2 + usize::from(imports.ends_with('\n'));
            let wanted =
                format!("p.rego:{lines}:28: the input document has no member input.nowhere");
            let said = said(imports);
            assert!(
                said.len() == 1 && said[0].starts_with(&wanted),
                "{imports}: {said:?}"
            );
        }
    }

    #[test]
    fn a_text_of_several_lines_keeps_what_looks_like_one() {
        let text = "package p\nx := `\nimport future.keywords.if\n`\n";
        assert_eq!(super::without_imports(text.to_owned()), text);
    }
}
