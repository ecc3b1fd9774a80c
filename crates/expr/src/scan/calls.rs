//! The filters, tests and functions that a template uses, and their arguments.

use std::ops::Range;

use super::Code;
use crate::FunctionKind;

/// A filter, test or function where it is used.
#[derive(Debug)]
pub(crate) struct Use {
    pub(crate) kind: FunctionKind,
    /// Its name.
    pub(crate) name: Range<usize>,
    /// Its arguments; none also if there are no parentheses.
    pub(crate) args: Vec<Range<usize>>,
}

impl Code<'_> {
    /// The filters, tests and functions that are used. minijinja would only miss them when it runs.
    pub(crate) fn uses(&self) -> Vec<Use> {
        let mut uses = Vec::new();
        let mut words = self.words().into_iter().peekable();
        while let Some(word) = words.next() {
            let text = &self.source[word.clone()];
            let before = self.before(word.start);
            let called = self.after(word.end) == Some(b'(');
            if text == "is" && !matches!(before, Some(b'.' | b'|')) {
                if let Some(not) = words.peek()
                    && &self.source[not.clone()] == "not"
                {
                    words.next();
                }
                let name = words.peek().cloned();
                let follows =
                    |name: &Range<usize>| matches!(self.source[word.end..name.start].trim(), "" | "not");
                if let Some(name) = name.filter(follows) {
                    words.next();
                    uses.push(self.use_of(FunctionKind::Test, name));
                }
            } else if before == Some(b'|') {
                uses.push(self.use_of(FunctionKind::Filter, word));
            } else if called && before != Some(b'.') {
                uses.push(self.use_of(FunctionKind::Function, word));
            }
        }
        uses
    }

    fn use_of(&self, kind: FunctionKind, name: Range<usize>) -> Use {
        let args = match self.after(name.end) {
            Some(b'(') => self.args(name.end + self.space(name.end)),
            _ => Vec::new(),
        };
        Use { kind, name, args }
    }

    /// The arguments between the parenthesis at `open` and the one that closes it.
    fn args(&self, open: usize) -> Vec<Range<usize>> {
        let close = self.matching(open);
        let mut args = Vec::new();
        let mut start = open + 1;
        let mut depth = 0_usize;
        let first = self.at.partition_point(|at| *at <= open);
        for at in self.at[first..].iter().copied().take_while(|at| *at < close) {
            match self.byte(at) {
                b'(' | b'[' | b'{' => depth += 1,
                b')' | b']' | b'}' => depth = depth.saturating_sub(1),
                b',' if depth == 0 => {
                    args.push(start..at);
                    start = at + 1;
                }
                _ => {}
            }
        }
        args.push(start..close.max(start));
        let empty = |arg: &Range<usize>| self.source[arg.clone()].trim().is_empty();
        // A comma may stand behind the last one.
        if args.last().is_some_and(empty) {
            args.pop();
        }
        args
    }
}
