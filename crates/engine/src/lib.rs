//! SyncEngine: what happens next. A pure core and one driver.
