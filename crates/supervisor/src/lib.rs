//! The worker pool: who is idle, busy or dead; assigns, restarts, reports.
