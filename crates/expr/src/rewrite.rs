//! A template's source as minijinja gets it, once `durations` are filters.
//!
//! minijinja compares numbers that only keep their digits by kind, repeats
//! lists without counting, and lets `default` cover only the last name of a path. So what stands
//! around such operators and names is put into filters of ours (`filters`, `exact`). [`Rewritten`] knows
//! where things stood before.

use std::collections::BTreeSet;
use std::ops::Range;

use crate::ExprError;
use crate::scan::Code;

// Filters that no template may name: they begin with a line, see `check`.
/// A value that may be compared with any number.
pub(crate) const EXACT: &str = "_exact";
/// A value that may be multiplied: anything but a list.
pub(crate) const FACTOR: &str = "_factor";
/// What a path of fields leads to; undefined if one of them is missing.
pub(crate) const FOLLOW: &str = "_follow";

/// A source with filters put in.
pub(crate) struct Rewritten {
    pub(crate) source: String,
    /// Where in the source before, and how many bytes; in order.
    inserted: Vec<(usize, usize)>,
}

impl Rewritten {
    /// Puts the filters in.
    pub(crate) fn new(source: &str) -> Result<Rewritten, ExprError> {
        let code = Code::new(source);
        let mut insertions = Vec::new();
        code.guard_factors(&mut insertions);
        code.guard_comparisons(&mut insertions)?;
        code.follow_covered(&mut insertions);
        insertions.sort_by_key(|(at, _)| *at);
        let mut rewritten = Rewritten { source: String::with_capacity(source.len()), inserted: Vec::new() };
        let mut copied = 0;
        for (at, text) in insertions {
            rewritten.source.push_str(&source[copied..at]);
            rewritten.source.push_str(&text);
            rewritten.inserted.push((at, text.len()));
            copied = at;
        }
        rewritten.source.push_str(&source[copied..]);
        Ok(rewritten)
    }

    /// Where something stood before.
    pub(crate) fn before(&self, range: Range<usize>) -> Range<usize> {
        self.place(range.start)..self.place(range.end)
    }

    fn place(&self, at: usize) -> usize {
        let mut shift = 0;
        for (inserted, length) in &self.inserted {
            if inserted + shift > at {
                break;
            }
            if inserted + shift + length > at {
                return *inserted;
            }
            shift += length;
        }
        at - shift
    }
}

type Insertions = Vec<(usize, String)>;

impl Code<'_> {
    /// `a * b` as `a|_factor * b|_factor`.
    fn guard_factors(&self, insertions: &mut Insertions) {
        let separators = self.separators();
        let star = |at: usize| self.source.as_bytes().get(at) == Some(&b'*');
        let is_operand = |byte: u8| byte.is_ascii_alphanumeric() || b"_)]}\"'".contains(&byte);
        for at in self.at.iter().copied().filter(|at| star(*at)) {
            let power = star(at + 1) || at.checked_sub(1).is_some_and(star);
            // Without an operand before it, it spreads arguments.
            if power || !self.before(at).is_some_and(is_operand) {
                continue;
            }
            insertions.push((self.source[..at].trim_end().len(), format!("|{FACTOR}")));
            if !self.after(at + 1).is_some_and(|byte| byte.is_ascii_digit()) {
                insertions.push((self.end_of_factor(at + 1, &separators), format!("|{FACTOR}")));
            }
        }
    }

    /// Where the factor ends that stands behind `from`, filters included.
    fn end_of_factor(&self, from: usize, separators: &[usize]) -> usize {
        let mut start = from + self.space(from);
        while self.source[start..].starts_with(['-', '+']) {
            start += 1 + self.space(start + 1);
        }
        let limit = self.blocks[self.block_of(from)].end.max(start);
        let mut depth = 0_usize;
        let first = self.at.partition_point(|at| *at < start);
        let mut within = self.at[first..].iter().copied().take_while(|at| *at < limit);
        let ends = |at: &usize| match self.byte(*at) {
            b'(' | b'[' | b'{' => {
                depth += 1;
                false
            }
            b')' | b']' | b'}' if depth > 0 => {
                depth -= 1;
                false
            }
            b')' | b']' | b'}' => true,
            byte => depth == 0 && (b",:+-*/%~<>=!".contains(&byte) || separators.binary_search(at).is_ok()),
        };
        let end = within.find(ends).unwrap_or(limit);
        self.source[..end].trim_end().len()
    }

    /// Where words stand that end an operand.
    fn separators(&self) -> Vec<usize> {
        let words = self.words().into_iter();
        let ends = |word: &Range<usize>| {
            SEPARATORS.contains(&&self.source[word.clone()]) && !self.is_field(word.start)
        };
        words.filter(ends).map(|word| word.start).collect()
    }

    fn is_field(&self, word: usize) -> bool {
        matches!(self.before(word), Some(b'.' | b'|'))
    }

    /// `a < b` as `(a)|_exact < (b)|_exact`, and the same for whatever is chained to it.
    fn guard_comparisons(&self, insertions: &mut Insertions) -> Result<(), ExprError> {
        let mut wrapped = BTreeSet::new();
        for chain in self.comparisons() {
            if !chain.orders {
                continue;
            }
            if let Some(at) = chain.contains {
                return Err(ExprError::at("`in` cannot be chained to a comparison", at..at + 2)
                    .help(Some("combine the two with `and`".to_owned())));
            }
            let is_text = |operand: &Range<usize>| {
                self.source[operand.clone()].starts_with(['"', '\''])
                    && self.at[self.at.partition_point(|at| *at < operand.start)..]
                        .first()
                        .is_none_or(|at| *at >= operand.end)
            };
            // A text that is written out compares as it always did.
            if !(chain.operands.len() == 2 && chain.operands.iter().any(is_text)) {
                wrapped.extend(chain.operands.into_iter().map(|operand| (operand.start, operand.end)));
            }
        }
        for (start, end) in wrapped {
            insertions.push((start, "(".to_owned()));
            insertions.push((end, format!(")|{EXACT}")));
        }
        Ok(())
    }

    fn comparisons(&self) -> Vec<Chain> {
        let words = self.words();
        let mut found = Vec::new();
        for block in &self.blocks {
            let first = words.partition_point(|word| word.start < block.start);
            let mut words = words[first..].iter().take_while(|word| word.start < block.end).peekable();
            let mut levels = vec![Level::new(block.start)];
            let signs = self.at[self.at.partition_point(|at| *at < block.start)..].iter().copied();
            for at in signs.take_while(|at| *at < block.end) {
                let Some(level) = levels.last_mut() else { break };
                while words.next_if(|word| word.end <= at).is_some() {}
                if let Some(word) = words.next_if(|word| word.start == at) {
                    let text = &self.source[word.clone()];
                    if SEPARATORS.contains(&text) && !self.is_field(at) {
                        match text {
                            "in" => {
                                level.join(self, at, word.end);
                                level.chain.contains = Some(at);
                            }
                            // `not in` goes on, `not` alone begins anew.
                            "not" if !self.source[level.start..at].trim().is_empty() => {
                                level.join(self, at, word.end);
                            }
                            _ => level.finish(self, at, word.end, &mut found),
                        }
                    }
                    continue;
                }
                if at < level.start {
                    continue;
                }
                match self.byte(at) {
                    b'(' | b'[' | b'{' => levels.push(Level::new(at + 1)),
                    b')' | b']' | b'}' => {
                        level.finish(self, at, at + 1, &mut found);
                        if levels.len() > 1 {
                            // What was in the brackets is a part of the operand around them.
                            levels.pop();
                        }
                    }
                    sign @ (b'<' | b'>' | b'=' | b'!') => {
                        let double = self.source.as_bytes().get(at + 1) == Some(&b'=');
                        if double || matches!(sign, b'<' | b'>') {
                            level.join(self, at, at + if double { 2 } else { 1 });
                            level.chain.orders |= matches!(sign, b'<' | b'>');
                        } else {
                            level.finish(self, at, at + 1, &mut found);
                        }
                    }
                    b',' | b':' => level.finish(self, at, at + 1, &mut found),
                    _ => {}
                }
            }
            while let Some(mut level) = levels.pop() {
                level.finish(self, block.end, block.end, &mut found);
            }
        }
        found
    }

    /// `a.b.c | default(…)` as `a|_follow('.b.c')| default(…)`, and the same before `is defined`.
    fn follow_covered(&self, insertions: &mut Insertions) {
        for read in self.reads().0.into_iter().filter(|read| read.covered) {
            let Some((root, fields)) = read.name.split_once('.') else { continue };
            if fields.contains('.') {
                insertions.push((read.at.start + root.len(), format!("|{FOLLOW}('")));
                insertions.push((read.at.end, "')".to_owned()));
            }
        }
    }
}

/// Words that stand between operands of comparisons.
const SEPARATORS: [&str; 13] =
    ["if", "elif", "else", "and", "or", "not", "in", "is", "for", "set", "with", "do", "recursive"];

/// Operands with comparisons between them.
#[derive(Default)]
struct Chain {
    operands: Vec<Range<usize>>,
    /// Whether one of the comparisons is `<`, `>`, `<=` or `>=`.
    orders: bool,
    /// Where an `in` is one of them.
    contains: Option<usize>,
}

/// What is known of the brackets that are being read.
struct Level {
    /// Where the operand begins.
    start: usize,
    chain: Chain,
}

impl Level {
    fn new(start: usize) -> Self {
        Level { start, chain: Chain::default() }
    }

    /// An operand ends at `end`, and a comparison with the one from `next` on.
    fn join(&mut self, code: &Code<'_>, end: usize, next: usize) {
        let operand = &code.source[self.start..end];
        let start = self.start + (operand.len() - operand.trim_start().len());
        let end = start + operand.trim().len();
        if start < end {
            self.chain.operands.push(start..end);
        }
        self.start = next;
    }

    /// The last operand of a chain ends at `end`.
    fn finish(&mut self, code: &Code<'_>, end: usize, next: usize, found: &mut Vec<Chain>) {
        self.join(code, end, next);
        found.push(std::mem::take(&mut self.chain));
    }
}
