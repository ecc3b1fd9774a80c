//! The server itself.

use serde::Serialize;
use utoipa::ToSchema;

/// The server.
#[derive(Serialize, ToSchema)]
pub(crate) struct ServerView {
    /// `syncctl`'s version.
    pub(crate) version: &'static str,
    /// Drawn anew at each start: ids of events begin with it.
    pub(crate) boot: String,
    /// When it started.
    #[schema(format = DateTime)]
    pub(crate) started: String,
}

/// It is well.
#[derive(Serialize, ToSchema)]
pub(crate) struct Health {
    /// `ok`
    #[schema(value_type = String)]
    pub(crate) status: &'static str,
}
