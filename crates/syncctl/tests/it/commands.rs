//! The commands around a run: what failed and doing it again, looking first, what is wrong here, what it
//! would take.

mod doctor;
mod explain;
mod failures;
mod preview;
mod status;
