//! What belongs to one sending of a request, and not to its task: the token it carries, the names
//! that signing and paging bind.

use std::borrow::Cow;
use std::sync::Arc;

use entities::{Moment, Secret, Secrets, Task};
use serde_json::{Map, Value};

use super::CompiledRequest;
use crate::auth::Credential;
use crate::auth::token::Token;

/// One sending of a request.
#[derive(Debug, Default)]
pub(crate) struct Sending {
    /// The task's names and those of this sending; none if it has none of its own.
    pub(super) names: Option<Map<String, Value>>,
    /// The token it carries, if it is one that is fetched or minted.
    pub(crate) token: Option<Arc<Token>>,
}

/// What the token of a request is called among the plan's secrets, where its text has to be put away
/// and put back: no secret of a plan can have this name.
const TOKEN: &str = "(token)";

/// What is shorter stands in a URL by chance.
const SHORTEST: usize = 8;

impl CompiledRequest {
    /// A sending of `task`'s request; `clock` is read if it is signed.
    pub(crate) fn sending(
        &self,
        task: &Task,
        token: Option<Arc<Token>>,
        clock: &(dyn Fn() -> Moment + Send + Sync),
    ) -> Sending {
        let signing = match &self.credential {
            Some(Credential::Signed(signing)) => Some(signing),
            _ => None,
        };
        let names = (signing.is_some() || self.paging.in_path()).then(|| {
            let mut names = (*task.bindings.0).clone();
            self.paging.to_names(&task.page.position, |name, value| {
                names.insert(name.to_owned(), value);
            });
            if let Some(signing) = signing {
                signing.names(&mut names, clock());
            }
            names
        });
        Sending { names, token }
    }

    /// What has to be put away from a next page's URL beside the plan's secrets, and put back: the token, and
    /// what templates made of secrets. None if there is nothing of the kind.
    pub(crate) fn more_secrets(&self, plan: &Secrets, sending: &Sending) -> Option<Secrets> {
        let made = self.hidden.iter().filter_map(|text| {
            // What differs from task to task may be another when it is put back.
            let value = text.fixed().filter(|value| value.len() >= SHORTEST)?;
            // In any other the secret itself is found.
            let disguised = plan.0.values().all(|secret| !value.contains(secret.expose()));
            disguised.then(|| (format!("(text {:016x})", text.hash()), Secret::new(value.to_owned())))
        });
        let token = sending.token.as_ref();
        let token = token.map(|token| (TOKEN.to_owned(), Secret::new(token.text.expose().to_owned())));
        let more: Vec<(String, Secret)> = made.chain(token).collect();
        (!more.is_empty()).then(|| {
            let mut secrets = plan.clone();
            secrets.0.extend(more);
            secrets
        })
    }

    /// The plan's secrets and those.
    pub(super) fn all_secrets<'a>(&self, plan: &'a Secrets, sending: &Sending) -> Cow<'a, Secrets> {
        self.more_secrets(plan, sending).map_or(Cow::Borrowed(plan), Cow::Owned)
    }
}
