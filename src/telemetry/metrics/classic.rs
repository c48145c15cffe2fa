//! The text format 0.0.4 of Prometheus, for who does not ask for `OpenMetrics`: made from that, line by line.
//!
//! It has no exemplars, no units, no end; a counter is described under the name of its series; and it knows neither
//! `info` nor `unknown`.

/// The same metrics in the older format.
pub(super) fn classic(open_metrics: &str) -> String {
    let mut text = String::with_capacity(open_metrics.len());
    // A help stands before the type, which says under which name.
    let mut help = None;
    for line in open_metrics.lines() {
        let Some(said) = line.strip_prefix("# ") else {
            push(&mut text, &[without_exemplar(line)]);
            continue;
        };
        if let Some(said) = said.strip_prefix("HELP ") {
            help = said.split_once(' ').map(|(_, words)| words);
        } else if let Some((name, kind)) = said
            .strip_prefix("TYPE ")
            .and_then(|said| said.split_once(' '))
        {
            let (end, kind) = match kind {
                "counter" => ("_total", "counter"),
                "info" => ("_info", "gauge"),
                "unknown" => ("", "untyped"),
                other => ("", other),
            };
            if let Some(words) = help.take() {
                push(&mut text, &["# HELP ", name, end, " ", words]);
            }
            push(&mut text, &["# TYPE ", name, end, " ", kind]);
        }
    }
    text
}

fn push(text: &mut String, parts: &[&str]) {
    text.extend(parts.iter().copied());
    text.push('\n');
}

/// A series and its value. A label may hold what else begins an exemplar.
fn without_exemplar(line: &str) -> &str {
    let (mut quoted, mut escaped) = (false, false);
    let end = line.find(|letter| {
        match letter {
            _ if escaped => escaped = false,
            '\\' => escaped = quoted,
            '"' => quoted = !quoted,
            _ => {}
        }
        letter == '#' && !quoted
    });
    let series = end.and_then(|end| line.get(..end));
    series.unwrap_or(line).trim_end()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_has_its_older_form() {
        let open_metrics = "# HELP a Things.\n# TYPE a counter\na_total{l=\"x \\\" # {\"} 3\n\
            # HELP b Build.\n# TYPE b info\nb_info{v=\"1\"} 1\n\
            # HELP c_seconds Time.\n# TYPE c_seconds histogram\n# UNIT c_seconds seconds\n\
            c_seconds_bucket{le=\"0.1\",p=\"\\\\\"} 8 # {decision_id=\"01\"} 0.07\nc_seconds_count 8\n\
            # TYPE d unknown\nd 1\n# HELP e E.\n# TYPE e gauge\ne 1\n# EOF\n";
        let wanted = "# HELP a_total Things.\n# TYPE a_total counter\na_total{l=\"x \\\" # {\"} 3\n\
            # HELP b_info Build.\n# TYPE b_info gauge\nb_info{v=\"1\"} 1\n\
            # HELP c_seconds Time.\n# TYPE c_seconds histogram\n\
            c_seconds_bucket{le=\"0.1\",p=\"\\\\\"} 8\nc_seconds_count 8\n\
            # TYPE d untyped\nd 1\n# HELP e E.\n# TYPE e gauge\ne 1\n";
        assert_eq!(classic(open_metrics), wanted);
    }
}
