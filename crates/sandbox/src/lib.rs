//! The built-in practice API: real HTTP on loopback, with limits, faults and a log.
