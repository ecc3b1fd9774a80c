//! Lanes of ready and delayed tasks, and the manager that fills them; pure.
