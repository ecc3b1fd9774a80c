//! How large and how nested a template is, before it is parsed. `check` holds the bounds.

use std::ops::Range;

use super::{Code, RESERVED};

impl Code<'_> {
    /// The most signs and words within one pair of braces that nest an expression. minijinja
    /// recurses for each of them, without a bound for some.
    pub(crate) fn deepest(&self) -> usize {
        let mut counts = vec![0_usize; self.blocks.len() + 1];
        for at in self.at.iter().copied() {
            counts[self.block_of(at)] += usize::from(b"-+*/%~|.([{=<>".contains(&self.byte(at)));
        }
        for word in self.words() {
            let nests = matches!(&self.source[word.clone()], "not" | "if" | "and" | "or" | "is" | "in");
            counts[self.block_of(word.start)] += usize::from(nests);
        }
        counts.into_iter().max().unwrap_or(0)
    }

    /// How many `{% … %}` there are.
    pub(crate) fn statements(&self) -> usize {
        self.source.matches("{%").count()
    }

    /// How many times a list may hold another one after all `set`, `with` and `for`: the product of
    /// the names that stand in lists, objects and sums of each.
    pub(crate) fn growth(&self) -> u64 {
        let words = self.words();
        let mut growth = 1_u64;
        for block in &self.blocks {
            let first = words.partition_point(|word| word.start < block.start);
            let mut inside = words[first..]
                .iter()
                .take_while(|word| word.start < block.end)
                .map(|word| (&self.source[word.clone()], word.clone()));
            if !inside.next().is_some_and(|(first, _)| matches!(first, "set" | "with" | "for")) {
                continue;
            }
            let holds = |word: &Range<usize>| {
                let (before, after) = (self.before(word.start), self.after(word.end));
                matches!(before, Some(b'[' | b',' | b':' | b'+' | b'('))
                    || matches!(after, Some(b']' | b',' | b'+' | b')'))
            };
            let held = inside.filter(|(text, word)| !RESERVED.contains(text) && holds(word)).count();
            growth = growth.saturating_mul(u64::try_from(held).unwrap_or(u64::MAX).max(1));
        }
        growth
    }

    /// Where a list is written out and repeated: `[0] * 9`.
    pub(crate) fn repeated_list(&self) -> Option<Range<usize>> {
        self.at.iter().copied().filter(|at| self.byte(*at) == b'*').find_map(|at| {
            let list = self.ends_list(at) || self.after(at + 1) == Some(b'[');
            list.then_some(at..at + 1)
        })
    }

    /// Whether what ends before `at` is a list that is written out, not an element of one (`x[0]`).
    fn ends_list(&self, at: usize) -> bool {
        if self.before(at) != Some(b']') {
            return false;
        }
        let mut depth = 0_usize;
        let behind = self.at.partition_point(|code| *code < at);
        for at in self.at[..behind].iter().copied().rev() {
            match self.byte(at) {
                b']' => depth += 1,
                b'[' if depth == 1 => {
                    let indexed = |byte: u8| byte.is_ascii_alphanumeric() || b"_)]\"'".contains(&byte);
                    return !self.before(at).is_some_and(indexed);
                }
                b'[' => depth -= 1,
                _ => {}
            }
        }
        false
    }
}
