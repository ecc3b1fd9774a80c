//! One jq program: does it compile, does it say what was meant?

use std::ops::Range;

use entities::JqText;
use expr::Jq;

use crate::names::Names;
use crate::reader::suggest_or_list;
use crate::visible::jq_vars;

impl Names<'_> {
    pub(super) fn program(&self, text: &JqText, names: &[&str]) {
        for (var, at) in jq_vars(&text.source) {
            self.used.borrow_mut().insert(if var.is_empty() {
                "vars".to_owned()
            } else {
                format!("vars.{var}")
            });
            if !var.is_empty() && !self.vars.names.contains_key(var) {
                let vars = self.vars.names.keys().map(String::as_str);
                self.findings.push(
                    self.findings
                        .error(
                            "unknown-var",
                            self.findings.within(text.at, &text.source, Some(at)),
                            format!("the plan has no variable `{var}`"),
                        )
                        .label("unknown variable")
                        .help(suggest_or_list(var, vars, "variables in [vars]")),
                );
            }
        }
        if let Err(error) = Jq::compile(text, names) {
            self.report("jq", text.at, &text.source, &error, names);
        }
    }

    /// Checks a program that asks a question: `where`, `until`, `when`.
    pub(super) fn predicate(&self, text: &JqText, names: &[&str]) {
        self.program(text, names);
        if let Some(at) = assignment(&text.source) {
            self.findings.push(
                self.findings
                    .error(
                        "assignment",
                        self.findings.within(text.at, &text.source, Some(at.clone())),
                        format!("`{}` assigns, so this always holds", &text.source[at]),
                    )
                    .label("does not compare")
                    .help("did you mean `==`?"),
            );
        }
    }
}

/// Where a program assigns at its top level, and is nothing but that: what it yields is an object
/// then, and true. Whoever goes on behind a `|` may mean it.
fn assignment(source: &str) -> Option<Range<usize>> {
    let bytes = source.as_bytes();
    let (mut depth, mut in_string, mut escaped) = (0usize, false, false);
    let mut found = None;
    for (at, byte) in bytes.iter().enumerate() {
        if in_string {
            match byte {
                _ if escaped => escaped = false,
                b'\\' => escaped = true,
                b'"' => in_string = false,
                _ => {}
            }
            continue;
        }
        let before = at.checked_sub(1).map_or(b' ', |at| bytes[at]);
        let after = bytes.get(at + 1).copied().unwrap_or(b' ');
        match byte {
            b'"' => in_string = true,
            b'#' => return None,
            b'(' | b'[' | b'{' => depth += 1,
            b')' | b']' | b'}' => depth = depth.saturating_sub(1),
            b'|' if depth == 0 && after != b'=' => return None,
            b'=' if depth == 0 && after != b'=' && !matches!(before, b'=' | b'!' | b'<' | b'>') => {
                let start =
                    if matches!(before, b'|' | b'+' | b'-' | b'*' | b'/' | b'%') { at - 1 } else { at };
                found.get_or_insert(start..at + 1);
            }
            _ => {}
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_assignment_is_told_from_a_comparison() {
        let check = |source: &str, expected: Option<&str>| {
            assert_eq!(assignment(source).map(|at| &source[at]), expected, "{source}");
        };
        check(".a = 1", Some("="));
        check(".a=1", Some("="));
        check(".a |= . + 1", Some("|="));
        check(".a += 1", Some("+="));
        check(".é = \"x\"", Some("="));
        for fine in [
            ".a == 1",
            ".a != 1",
            ".a <= 1",
            ".a >= 1",
            ".a",
            ".a == \"x = y\"",
            "(.a = 1) == .b",
            ".a = 1 | .b == 2",
            ".a | . == 1",
            "# a = b",
            "",
        ] {
            check(fine, None);
        }
    }
}
