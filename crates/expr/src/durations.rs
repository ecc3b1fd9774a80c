//! `x - duration("7d")` becomes a filter, before `rewrite` puts in its own.

use crate::ExprError;
use crate::scan::Code;

impl Code<'_> {
    /// `x - duration("7d")` as `x |sub("7d")`, `+` as `|add`: minijinja has no arithmetic on dates.
    /// The rewritten source has the same length, so that ranges of errors stay true. An error where
    /// a filter would bind otherwise than the sign does.
    pub(crate) fn desugar_durations(&self) -> Result<String, ExprError> {
        let mut out = self.source.as_bytes().to_vec();
        for (index, at) in self.at.iter().copied().enumerate() {
            let filter: &[u8] = match self.byte(at) {
                b'-' => b"|sub",
                b'+' => b"|add",
                _ => continue,
            };
            let Some(paren) = self.duration_call(at + 1) else { continue };
            let sign = char::from(self.byte(at));
            if !self.is_one_operand(index) {
                return Err(ExprError::at(
                    format!("what stands before `{sign} duration(…)` needs parentheses"),
                    at..paren,
                )
                .help(Some(format!("write it like (a + b) {sign} duration(\"7d\")"))));
            }
            let close = self.matching(paren);
            let behind = self.source.get(close + 1..).unwrap_or_default().trim_start();
            if behind.starts_with(['*', '/', '%']) && !behind.starts_with("%}") {
                return Err(ExprError::at("a duration cannot be calculated with here", at..close)
                    .help(Some("write the whole length: duration(\"3d\")".to_owned())));
            }
            out[at..paren].fill(b' ');
            out[at..at + filter.len()].copy_from_slice(filter);
        }
        // Only ASCII was replaced by ASCII.
        Ok(String::from_utf8(out).unwrap_or_else(|_| self.source.to_owned()))
    }

    /// Whether what stands before the sign at `index` is a single operand, filters included.
    fn is_one_operand(&self, index: usize) -> bool {
        let mut depth = 0_usize;
        let start = self.blocks[self.block_of(self.at[index])].start;
        for at in self.at[..index].iter().copied().rev().take_while(|at| *at >= start) {
            match self.byte(at) {
                b')' | b']' | b'}' => depth += 1,
                b'(' | b'[' | b'{' if depth == 0 => return true,
                b'(' | b'[' | b'{' => depth -= 1,
                _ if depth > 0 => {}
                b',' | b':' | b'=' | b'<' | b'>' | b'!' => return true,
                b'+' | b'-' if self.duration_call(at + 1).is_some() => return true,
                b'+' | b'-' | b'*' | b'/' | b'%' | b'~' => return false,
                byte if byte.is_ascii_whitespace() => {
                    let before = self.source[..at].trim_end();
                    let word =
                        before.rsplit(|c: char| !c.is_ascii_alphanumeric() && c != '_').next().unwrap_or("");
                    if matches!(word, "if" | "else" | "elif" | "and" | "or" | "not" | "in" | "is") {
                        return true;
                    }
                }
                _ => {}
            }
        }
        true
    }

    /// Where the parenthesis of `duration(` is that starts behind `from` and white space.
    fn duration_call(&self, from: usize) -> Option<usize> {
        let rest = self.source.get(from..)?;
        let behind = rest.trim_start().strip_prefix("duration")?.trim_start();
        behind.starts_with('(').then(|| self.source.len() - behind.len())
    }
}
