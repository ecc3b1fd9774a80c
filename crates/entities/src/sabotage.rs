//! Promises that a store can be told to break, in debug builds only: the controls of the crash laboratory
//! (`cargo xtask crash`), which must be seen to notice. Not a setting of the product.

/// What a store gives up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sabotage {
    /// Rows commit first, and the completion of the request that brought them later.
    Torn,
    /// What a dead process left in a file beyond what was committed is not cut off.
    NoTruncate,
    /// Who lost a store to another process may land in it all the same.
    NoEpoch,
    /// Nothing is synced to the disk.
    NoFsync,
}

impl Sabotage {
    /// Reads `SYNCCTL_SABOTAGE`.
    pub fn of(word: &str) -> Option<Sabotage> {
        match word {
            "torn" => Some(Sabotage::Torn),
            "no-truncate" => Some(Sabotage::NoTruncate),
            "no-epoch" => Some(Sabotage::NoEpoch),
            "no-fsync" => Some(Sabotage::NoFsync),
            _ => None,
        }
    }
}
