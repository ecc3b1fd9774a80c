//! The benchmark's endpoints: rendered once, and patched with the page or record number, in a few microseconds. Values
//! other than these repeat after `APART` records: a store that encodes what repeats must not see it on every page.

use std::io::Write;
use std::ops::Range;
use std::sync::{LazyLock, OnceLock};

use http::StatusCode;

use crate::answer::{self, Answer, refusal};
use crate::mount::Mount;
use crate::random::draw;

/// Numbers are padded with spaces to this width, so that patching keeps every offset.
const WIDTH: usize = 12;
/// Records with values of their own.
const APART: u64 = 100_000;
/// Bytes of the small object.
const SMALL: usize = 1024;

/// The templates of pages, one after the other; rendered when they are first asked for.
pub(crate) struct Pages {
    full: Vec<OnceLock<Template>>,
    empty: Template,
}

/// A page's bytes for page 0 and the places to patch.
struct Template {
    bytes: Vec<u8>,
    /// Where each record's `id` and `ref` digits start.
    records: Vec<(usize, usize)>,
    page: usize,
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
    patch(&mut out, 6, number);
    out
}

fn page_body(mount: &Mount, page: u64) -> Vec<u8> {
    let size = mount.options.size;
    let pages = mount.pages.get_or_init(|| {
        let apart = APART.checked_div(size).unwrap_or(1).clamp(1, mount.options.pages.max(1));
        Pages { full: (0..apart).map(|_| OnceLock::new()).collect(), empty: Template::render(mount, 0..0) }
    });
    let template = match page > mount.options.pages {
        true => &pages.empty,
        false => {
            let at = (page - 1) % pages.full.len() as u64;
            pages.full[at as usize].get_or_init(|| Template::render(mount, at * size..(at + 1) * size))
        }
    };
    let mut out = template.bytes.clone();
    patch(&mut out, template.page, page);
    let first = (page - 1) * size + 1;
    for (number, (id, reference)) in (first..).zip(&template.records) {
        patch(&mut out, *id, number);
        patch(&mut out, *reference, number);
    }
    out
}

impl Template {
    fn render(mount: &Mount, indices: Range<u64>) -> Template {
        let (pages, size, seed) = (mount.options.pages, mount.options.size, mount.options.seed);
        let mut bytes = b"{\"data\":[".to_vec();
        let mut records = Vec::new();
        for index in indices {
            if !records.is_empty() {
                bytes.push(b',');
            }
            records.push(write_record(&mut bytes, draw(seed, 11, index), draw(seed, 12, index)));
        }
        let total = pages.saturating_mul(size);
        // Writing to a Vec cannot fail.
        let _ = write!(bytes, "],\"meta\":{{\"pages\":{pages},\"total\":{total},\"page\":{:WIDTH$}}}}}", 0);
        Template { page: bytes.len() - WIDTH - 2, bytes, records }
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

/// Writes a number right-aligned over a zero, which is padded as it is to be.
fn patch(out: &mut [u8], at: usize, mut number: u64) {
    for byte in out[at..at + WIDTH].iter_mut().rev() {
        if number == 0 {
            break;
        }
        *byte = b'0' + (number % 10) as u8;
        number /= 10;
    }
}
