//! The benchmark's endpoints: rendered once, and patched with the page or record number, in a few microseconds.

use std::io::Write;
use std::sync::LazyLock;

use http::StatusCode;

use crate::answer::{self, Answer, refusal};
use crate::mount::Mount;
use crate::random::draw;

/// Numbers are padded with spaces to this width, so that patching keeps every offset.
const WIDTH: usize = 12;
/// Bytes of the small object.
const SMALL: usize = 1024;

/// The template of a page: its bytes for page 0 and the places to patch.
pub(crate) struct Pages {
    template: Vec<u8>,
    /// Where each record's `id` and `ref` digits start.
    records: Vec<(usize, usize)>,
    page: usize,
    empty: Vec<u8>,
    empty_page: usize,
}

/// Answers a request below `/bench`.
pub(crate) fn answer(mount: &Mount, rest: &str, query: &str) -> Answer {
    if let Some(number) = rest.strip_prefix("/small/").and_then(|number| number.parse().ok()) {
        return answer::json(small(number));
    }
    if rest == "/pages" {
        let page = query.split('&').find_map(|pair| pair.strip_prefix("page="));
        return match page.map_or(Ok(1), str::parse::<u64>) {
            Ok(page) if page > 0 => answer::json(page_body(mount, page)),
            _ => refusal(StatusCode::BAD_REQUEST, "`page` is not a whole number from 1"),
        };
    }
    refusal(StatusCode::NOT_FOUND, "the bench has /small/{n} and /pages?page=")
}

fn small(number: u64) -> Vec<u8> {
    static TEMPLATE: LazyLock<Vec<u8>> = LazyLock::new(|| {
        let mut out =
            format!("{{\"id\":{:WIDTH$},\"name\":\"small\",\"active\":true,\"text\":\"", 0).into_bytes();
        while out.len() < SMALL - 2 {
            out.push(b'a' + (out.len() % 26) as u8);
        }
        out.extend(b"\"}");
        out
    });
    let mut out = TEMPLATE.clone();
    patch(&mut out, 6, b' ', number);
    out
}

fn page_body(mount: &Mount, page: u64) -> Vec<u8> {
    let pages = mount.pages.get_or_init(|| Pages::render(mount));
    if page > mount.options.pages {
        let mut out = pages.empty.clone();
        patch(&mut out, pages.empty_page, b' ', page);
        return out;
    }
    let mut out = pages.template.clone();
    patch(&mut out, pages.page, b' ', page);
    let first = (page - 1) * mount.options.size + 1;
    for (number, (id, reference)) in (first..).zip(&pages.records) {
        patch(&mut out, *id, b' ', number);
        patch(&mut out, *reference, b'0', number);
    }
    out
}

impl Pages {
    fn render(mount: &Mount) -> Pages {
        let (pages, size, seed) = (mount.options.pages, mount.options.size, mount.options.seed);
        let total = pages.saturating_mul(size);
        let meta = format!("],\"meta\":{{\"pages\":{pages},\"total\":{total},\"page\":{:WIDTH$}}}}}", 0);
        let mut out = b"{\"data\":[".to_vec();
        let mut empty = out.clone();
        empty.extend(meta.bytes());
        let mut records = Vec::new();
        for index in 0..size {
            if index > 0 {
                out.push(b',');
            }
            records.push(write_record(&mut out, draw(seed, 11, index), draw(seed, 12, index)));
        }
        out.extend(meta.bytes());
        let digits_start = |whole: &[u8]| whole.len() - WIDTH - 2;
        Pages { page: digits_start(&out), empty_page: digits_start(&empty), template: out, records, empty }
    }
}

/// Fifteen fields; gives the places of the two that hold the number.
fn write_record(out: &mut Vec<u8>, dice: u64, more: u64) -> (usize, usize) {
    out.extend(b"{\"id\":");
    let id = out.len();
    // Writing to a Vec cannot fail.
    let _ = write!(out, "{:WIDTH$},\"ref\":\"R", 0);
    let reference = out.len();
    let _ = write!(
        out,
        concat!(
            "{:0width$}\",\"symbol\":\"{}\",\"side\":\"{}\",\"venue\":\"X{}\",\"price\":{}.{:02},\"quantity\":{},",
            "\"fee\":0.{:04},\"filled\":{},\"active\":{},\"maker\":{},\"note\":null,",
            "\"at\":\"2024-0{}-1{}T0{}:3{}:00Z\",\"score\":{}.5,\"account\":{}}}"
        ),
        0,
        ["AAPL", "MSFT", "NVDA", "600519.SH"][(dice % 4) as usize],
        if dice & 4 == 0 { "buy" } else { "sell" },
        (dice >> 3) % 9,
        1 + (dice >> 8) % 900,
        (dice >> 20) % 100,
        1 + (dice >> 24) % 10_000,
        (dice >> 40) % 10_000,
        (more >> 4) % 10_000,
        more & 1 == 0,
        more & 2 == 0,
        1 + (more >> 20) % 9,
        (more >> 24) % 10,
        (more >> 28) % 10,
        (more >> 32) % 10,
        (more >> 36) % 100,
        10_000 + (more >> 44) % 90_000,
        width = WIDTH,
    );
    (id, reference)
}

/// Writes a number right-aligned into its place.
fn patch(out: &mut [u8], at: usize, pad: u8, mut number: u64) {
    for (place, byte) in out[at..at + WIDTH].iter_mut().rev().enumerate() {
        *byte = if number == 0 && place > 0 { pad } else { b'0' + (number % 10) as u8 };
        number /= 10;
    }
}
