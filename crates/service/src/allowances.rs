//! What plans may look up and name: only what the server's owner has allowed.

use std::path::PathBuf;

/// What the server's owner lets plans do that came in over the network. By default: nothing.
#[derive(Clone, Debug, Default)]
pub struct Allowances {
    /// Environment variables that `vars` and `secrets` may read.
    pub env: Vec<String>,
    /// Files, and directories with all in them, that `vars`, `secrets` and `foreach` may read.
    pub files: Vec<PathBuf>,
    /// Programs that `secrets` may run, as the plan names them.
    pub commands: Vec<String>,
    /// Store files and directories outside the server's store root that plans may name; directories with all in them.
    pub stores: Vec<PathBuf>,
    /// Whether plans may land in PostgreSQL: in any database that their connection strings reach.
    pub postgres: bool,
}
