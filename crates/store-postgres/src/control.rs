//! What the crash laboratory switches off, to see that it would have been noticed.

/// Which guards are up. Release builds have no other than all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Control {
    /// All of them.
    #[default]
    None,
    /// No lock, and no epoch: a process that was taken for dead may write.
    #[cfg(debug_assertions)]
    NoEpoch,
}

impl Control {
    pub(crate) fn is_guarded(self) -> bool {
        self == Control::None
    }
}
