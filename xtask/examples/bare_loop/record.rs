//! The API's page, as one who knows it writes it down.

use serde::{Deserialize, Serialize};

#[derive(Deserialize)]
pub(crate) struct Page {
    pub(crate) data: Vec<Record>,
}

#[derive(Deserialize, Serialize)]
pub(crate) struct Record {
    pub(crate) id: i64,
    pub(crate) r#ref: String,
    pub(crate) symbol: String,
    pub(crate) side: String,
    pub(crate) venue: String,
    pub(crate) price: f64,
    pub(crate) quantity: i64,
    pub(crate) fee: f64,
    pub(crate) filled: i64,
    pub(crate) active: bool,
    pub(crate) maker: bool,
    pub(crate) note: Option<String>,
    pub(crate) at: String,
    pub(crate) score: f64,
    pub(crate) account: i64,
}

pub(crate) const FIELDS: [&str; 15] = [
    "id", "ref", "symbol", "side", "venue", "price", "quantity", "fee", "filled", "active", "maker", "note",
    "at", "score", "account",
];
