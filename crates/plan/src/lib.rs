//! Text to SyncPlan, with diagnostics; pure.
