//! `jwt = {…}`: a token that is minted and signed here (RFC 7519).

use entities::{Auth, Jwt, JwtAlgorithm, ValueTemplate};

use crate::auth::not_empty;
use crate::item::Item;
use crate::reader::suggest_or_list;

const EXAMPLE: &str =
    "jwt = { algorithm = \"RS256\", key = \"{{ secrets.private_key }}\", claims = { iss = \"…\" } }";
const ALGORITHMS: [(&str, JwtAlgorithm); 8] = [
    ("HS256", JwtAlgorithm::HS256),
    ("HS384", JwtAlgorithm::HS384),
    ("HS512", JwtAlgorithm::HS512),
    ("RS256", JwtAlgorithm::RS256),
    ("RS384", JwtAlgorithm::RS384),
    ("RS512", JwtAlgorithm::RS512),
    ("ES256", JwtAlgorithm::ES256),
    ("ES384", JwtAlgorithm::ES384),
];

pub(super) fn jwt(item: &Item<'_>) -> Option<Auth> {
    let mut section = item.section(EXAMPLE)?;
    let algorithm_item = section.need("algorithm", "\"RS256\"");
    let key_item = section.need("key", "\"{{ secrets.private_key }}\"");
    let claims = section.need("claims", "{ iss = \"…\", exp = \"{{ now | epoch + 300 }}\" }");
    let header = section.take("header");
    section.finish();

    let algorithm = algorithm_item.as_ref().and_then(algorithm);
    let key = key_item.as_ref().and_then(not_empty);
    if let (Some((name, algorithm)), Some(item), Some(key)) = (algorithm, &key_item, &key) {
        check_key(item, &key.source, name, algorithm);
    }
    let claims = claims.map(|item| entries(&item, "claims = { iss = \"…\" }")).unwrap_or_default();
    let header = header.map(|item| entries(&item, "header = { kid = \"…\" }")).unwrap_or_default();
    Some(Auth::Jwt(Box::new(Jwt {
        algorithm: algorithm?.1,
        key: key?,
        claims,
        header,
        at: item.findings.place(item.key_span.clone()),
    })))
}

fn algorithm(item: &Item<'_>) -> Option<(&'static str, JwtAlgorithm)> {
    let text = item.string()?;
    let found = ALGORITHMS.into_iter().find(|(name, _)| *name == text);
    if found.is_none() {
        let names = ALGORITHMS.iter().map(|(name, _)| *name);
        item.wrong(
            "unknown-algorithm",
            format!("`{text}` is not an algorithm that tokens can be signed with here"),
            "unknown algorithm",
            suggest_or_list(text, names, "algorithms"),
        );
    }
    found
}

/// A key that stands in the plan or beside a template: is it of the algorithm's kind?
fn check_key(item: &Item<'_>, source: &str, name: &str, algorithm: JwtAlgorithm) {
    let is_pem = source.contains("-----BEGIN");
    let shared = matches!(algorithm, JwtAlgorithm::HS256 | JwtAlgorithm::HS384 | JwtAlgorithm::HS512);
    if shared && is_pem {
        item.wrong(
            "wrong-key",
            format!("{name} signs with a shared secret, and this is a private key"),
            "a key in PEM",
            "write algorithm = \"RS256\" or \"ES256\", whichever the key is for",
        );
    } else if !shared && !is_pem && !source.contains("{{") {
        item.wrong(
            "wrong-key",
            format!("{name} signs with a private key in PEM, and this is none"),
            "no `-----BEGIN … PRIVATE KEY-----` in it",
            "put the key into a file and declare it in [secrets]: key = { file = \"key.pem\" }",
        );
    }
}

fn entries(item: &Item<'_>, example: &str) -> Vec<(String, ValueTemplate)> {
    item.entries(example)
        .unwrap_or_default()
        .into_iter()
        .filter_map(|(name, item)| Some((name.to_owned(), item.value_template()?)))
        .collect()
}
