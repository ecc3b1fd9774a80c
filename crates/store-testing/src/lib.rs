//! What tests of stores need: a private PostgreSQL cluster, and the suite that every kind of store passes.
