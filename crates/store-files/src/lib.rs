//! A store in a directory of files, with the ledger in SQLite beside them: JSONL, and Parquet (feature `parquet`).
