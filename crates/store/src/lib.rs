//! SQLite: the ledger and the tables in one file.
