//! HttpApiWorker: one granted request, from template to Landing.
