//! Any bytes as a `Link` header. The reader is no public function of http-worker, so its file is part of
//! this target.
#![no_main]

use http::{HeaderMap, HeaderValue};
use libfuzzer_sys::fuzz_target;

#[path = "../../../http-worker/src/reading/link.rs"]
mod link;

fuzz_target!(|bytes: &[u8]| {
    let mut headers = HeaderMap::new();
    for value in bytes.split(|byte| *byte == b'\n') {
        let Ok(value) = HeaderValue::from_bytes(value) else { continue };
        headers.append(http::header::LINK, value);
    }
    let _ = link::target(&headers, "next");
});
