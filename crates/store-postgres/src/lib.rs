//! A store in a PostgreSQL database: tables and ledger commit in one transaction of it.
