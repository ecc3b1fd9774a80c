//! `total = …` of a task: what a chain of pages received is compared with what the source says there is.
//!
//! The newest word counts. A chain that ends short fails its last page, of which nothing lands: asked
//! again, it may be complete, and no row is there twice.

use entities::{Failure, FailureClass, FailureKind, JqText, Next, Page};

use super::decode::Decoded;
use super::paginate::{count, counted};
use super::program::Program;
use super::view::View;

/// The declared total of a spec, compiled.
pub(super) struct Total(Program);

impl Total {
    pub(super) fn compile(total: Option<&JqText>, names: &[&str]) -> Result<Option<Total>, Failure> {
        Ok(Program::compile_some("total", total, names)?.map(Total))
    }

    /// How many records the answer says there are; of an answer without a body, nothing.
    pub(super) fn declared(
        &self,
        page: &Page,
        decoded: &Decoded<'_>,
        view: &View<'_>,
    ) -> Result<Option<u64>, Failure> {
        count(&self.0, page, decoded, view)
    }

    /// Hands the sum on to the page that follows; at the chain's end, compares it.
    pub(super) fn settle(
        &self,
        next: Next,
        page: &Page,
        received: u64,
        declared: Option<u64>,
    ) -> Result<Next, Failure> {
        let sum = page.received.unwrap_or(0).saturating_add(received);
        let newest = declared.or(page.total);
        match next {
            Next::Pages(pages) => Ok(Next::Pages(
                pages.into_iter().map(|page| Page { received: Some(sum), total: newest, ..page }).collect(),
            )),
            Next::End if newest.is_some_and(|newest| sum < newest) => {
                let newest = newest.unwrap_or_default();
                let message = format!("{} came, but the source says there are {newest}", counted(sum));
                Err(Failure::new(FailureClass::Permanent, FailureKind::Short, message)
                    .help("does the paging reach the end, and does `total` count these records?")
                    .at(self.0.at))
            }
            next => Ok(next),
        }
    }
}
