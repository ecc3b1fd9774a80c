//! The dashboard and the API page: files of `page/`, in the program.

use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, ETAG, HeaderValue, IF_NONE_MATCH};
use http::{HeaderMap, StatusCode};
use sha2::{Digest, Sha256};

use crate::problem::Problem;

const HTML: &str = "text/html; charset=utf-8";
const CSS: &str = "text/css; charset=utf-8";
const SCRIPT: &str = "text/javascript; charset=utf-8";

/// One file: its path here, its media type, its content.
macro_rules! file {
    ($path:literal $kind:ident $name:literal) => {
        ($path, $kind, include_bytes!(concat!("../page/", $name)))
    };
}

/// Every file there is.
#[rustfmt::skip]
const FILES: &[(&str, &str, &[u8])] = &[
    file!("/"                     HTML   "index.html"),
    file!("/api"                  HTML   "api.html"),
    file!("/assets/style.css"     CSS    "style.css"),
    file!("/assets/dashboard.js"  SCRIPT "dashboard.js"),
    file!("/assets/client.js"     SCRIPT "client.js"),
    file!("/assets/editor.js"     SCRIPT "editor.js"),
    file!("/assets/api.js"        SCRIPT "api.js"),
];

/// The files, with what tells their versions apart.
pub(crate) struct Page {
    files: Vec<File>,
}

struct File {
    path: &'static str,
    kind: HeaderValue,
    content: Bytes,
    tag: HeaderValue,
}

impl Page {
    pub(crate) fn new() -> Page {
        let files = FILES.iter().map(|(path, kind, content)| File {
            path,
            kind: HeaderValue::from_static(kind),
            content: Bytes::from_static(content),
            tag: tag(content),
        });
        Page { files: files.collect() }
    }

    /// The file at `path`, or that the caller has it already.
    pub(crate) fn answer(&self, path: &str, asked: &HeaderMap) -> Response {
        let Some(file) = self.files.iter().find(|file| file.path == path) else {
            return Problem::new(StatusCode::NOT_FOUND, "the page has no such file").into_response();
        };
        let has = |value: &HeaderValue| {
            let listed = value.to_str().unwrap_or_default().split(',').map(str::trim);
            let tag = file.tag.to_str().unwrap_or_default();
            listed.map(|one| one.strip_prefix("W/").unwrap_or(one)).any(|one| one == tag || one == "*")
        };
        // Asked for again each time, so that a new server brings its new page.
        let headers = [(CACHE_CONTROL, HeaderValue::from_static("no-cache")), (ETAG, file.tag.clone())];
        if asked.get_all(IF_NONE_MATCH).iter().any(has) {
            return (StatusCode::NOT_MODIFIED, headers).into_response();
        }
        (headers, [(CONTENT_TYPE, file.kind.clone())], file.content.clone()).into_response()
    }
}

fn tag(content: &[u8]) -> HeaderValue {
    let hash = Sha256::digest(content);
    let hex: String = hash.iter().take(12).map(|byte| format!("{byte:02x}")).collect();
    HeaderValue::from_str(&format!("\"{hex}\"")).unwrap_or_else(|_| HeaderValue::from_static("\"page\""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_file_is_embedded() {
        let directory = concat!(env!("CARGO_MANIFEST_DIR"), "/page");
        let mut there: Vec<Vec<u8>> = Vec::new();
        for entry in std::fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            if path.extension().is_some_and(|kind| kind != "md") {
                there.push(std::fs::read(path).unwrap());
            }
        }
        there.sort();
        let mut here: Vec<Vec<u8>> = FILES.iter().map(|(_, _, content)| content.to_vec()).collect();
        here.sort();
        assert!(here == there, "FILES of page.rs is not what is in {directory}");
    }
}
