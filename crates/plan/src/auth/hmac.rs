//! `hmac = {…}`: each request is signed with a shared key (RFC 2104), as exchanges want it.

use entities::{Auth, Encoding, Hash, Hmac, TemplateText};
use expr::Template;

use crate::auth::{filled, not_empty, texts};
use crate::endpoint::headers_of;
use crate::item::Item;
use crate::reader::suggest_or_list;

const EXAMPLE: &str = "hmac = { algorithm = \"sha256\", key = \"{{ secrets.key }}\", message = \"{{ timestamp_ms }}{{ method }}{{ path }}{{ body }}\", headers = { X-Signature = \"{{ signature }}\" } }";

pub(super) fn hmac(item: &Item<'_>) -> Option<Auth> {
    let mut section = item.section(EXAMPLE)?;
    let algorithm = section.need("algorithm", "\"sha256\"");
    let key = section.need("key", "\"{{ secrets.key }}\"");
    let message = section.need("message", "\"{{ timestamp_ms }}{{ method }}{{ path }}{{ body }}\"");
    let encode = section.take("encode");
    let headers = section.take("headers").as_ref().map(headers_of).unwrap_or_default();
    let query = section
        .take("query")
        .map(|item| texts(&item, "query = { signature = \"{{ signature }}\" }"))
        .unwrap_or_default();
    section.finish();

    let algorithm = algorithm.as_ref().and_then(hash);
    let encode = encode.as_ref().map_or(Some(Encoding::Hex), encoding);
    let key = key.as_ref().and_then(not_empty);
    let message = message.as_ref().and_then(|item| filled(item, "what the API wants signed"));
    if !headers.iter().chain(&query).any(|(_, text)| uses_signature(text)) {
        item.wrong(
            "unused-signature",
            format!("{} never sends the signature", item.what),
            "`{{ signature }}` is used nowhere",
            "add headers = { X-Signature = \"{{ signature }}\" } or query = { signature = \"{{ signature }}\" }",
        );
    }
    Some(Auth::Hmac(Box::new(Hmac {
        algorithm: algorithm?,
        key: key?,
        message: message?,
        encode: encode?,
        headers,
        query,
        at: item.findings.place(item.key_span.clone()),
    })))
}

/// One that does not compile is reported where templates are checked.
fn uses_signature(text: &TemplateText) -> bool {
    Template::compile(text).map_or(true, |template| template.names().iter().any(|name| name == "signature"))
}

fn hash(item: &Item<'_>) -> Option<Hash> {
    let text = item.string()?;
    match text {
        "sha1" => return Some(Hash::Sha1),
        "sha256" => return Some(Hash::Sha256),
        "sha384" => return Some(Hash::Sha384),
        "sha512" => return Some(Hash::Sha512),
        _ => {}
    }
    let known = ["sha1", "sha256", "sha384", "sha512"];
    // `SHA-256` and `HMAC-SHA256` are what API documents write.
    let tidy = text.to_ascii_lowercase().replace('-', "");
    let tidy = tidy.strip_prefix("hmac").unwrap_or(&tidy);
    item.wrong(
        "unknown-algorithm",
        format!("`{text}` is not a hash that signing knows"),
        "unknown algorithm",
        suggest_or_list(tidy, known.into_iter(), "algorithms"),
    );
    None
}

fn encoding(item: &Item<'_>) -> Option<Encoding> {
    match item.string()? {
        "hex" => Some(Encoding::Hex),
        "base64" => Some(Encoding::Base64),
        "base64url" => Some(Encoding::Base64Url),
        other => {
            item.wrong(
                "unknown-encoding",
                format!("`{other}` is not a way to write a signature"),
                "unknown encoding",
                suggest_or_list(other, ["hex", "base64", "base64url"].into_iter(), "encodings"),
            );
            None
        }
    }
}
