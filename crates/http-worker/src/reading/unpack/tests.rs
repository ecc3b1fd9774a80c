//! Archives made here and taken apart again.

use std::io::Write;

use flate2::write::GzEncoder;
use flate2::{Compression, GzBuilder};
use proptest::prelude::*;
use zip::ZipWriter;
use zip::write::SimpleFileOptions;

use super::*;

pub(in crate::reading) fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

pub(in crate::reading) fn zipped(members: &[(&str, &[u8])]) -> Vec<u8> {
    let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
    for (name, bytes) in members {
        match name.strip_suffix('/') {
            Some(folder) => writer.add_directory(folder, SimpleFileOptions::default()).unwrap(),
            None => {
                writer.start_file(*name, SimpleFileOptions::default()).unwrap();
                writer.write_all(bytes).unwrap();
            }
        }
    }
    writer.finish().unwrap().into_inner()
}

fn unpacked(body: &[u8], max_body: u64) -> Result<Vec<(Option<String>, String)>, String> {
    let members = unpack(body, max_body).map_err(|failure| format!("{failure}"))?;
    Ok(members
        .into_iter()
        .map(|member| (member.name, String::from_utf8_lossy(&member.bytes).into_owned()))
        .collect())
}

#[test]
fn members() {
    let two = [gzip(b"a,b\n"), gzip(b"1,2\n")].concat();
    let inner = zipped(&[("x.csv", b"a\n")]);
    let mut named = GzBuilder::new().filename("data.csv").write(Vec::new(), Compression::default());
    named.write_all(b"a\n").unwrap();
    let named = named.finish().unwrap();
    for (body, expected) in [
        (b"plain".to_vec(), vec![(None, "plain")]),
        (gzip(b"text"), vec![(None, "text")]),
        (named, vec![(Some("data.csv"), "a\n")]),
        // Several members of a gzip are one text (RFC 1952, section 2.2).
        (two, vec![(None, "a,b\n1,2\n")]),
        (gzip(&gzip(b"twice")), vec![(None, "twice")]),
        (
            zipped(&[("a.csv", b"1"), ("dir/", b""), ("dir/b.json", b"2")]),
            vec![(Some("a.csv"), "1"), (Some("dir/b.json"), "2")],
        ),
        (zipped(&[("__MACOSX/._a", b"1"), ("a", b"2")]), vec![(Some("a"), "2")]),
        (zipped(&[("day.csv.gz", &gzip(b"1"))]), vec![(Some("day.csv"), "1")]),
        (zipped(&[("in.zip", &inner)]), vec![(Some("x.csv"), "a\n")]),
        (zipped(&[]), vec![]),
    ] {
        let expected: Vec<_> =
            expected.into_iter().map(|(name, text)| (name.map(str::to_owned), text.to_owned())).collect();
        assert_eq!(unpacked(&body, 1000), Ok(expected));
    }
}

#[test]
fn what_cannot_be_unpacked() {
    let bomb = gzip(&vec![0; 100_000]);
    let mut cut = gzip(b"some text that is long enough");
    cut.truncate(cut.len() - 9);
    let mut broken = gzip(b"some text that is long enough");
    broken[15] ^= 0xff;
    let mut halved = zipped(&[("a", b"1234567890")]);
    halved.truncate(halved.len() / 2);
    let deep = (0..5).fold(b"x".to_vec(), |inner, _| gzip(&inner));
    let three: Vec<(&str, &[u8])> = vec![("a", &[b'x'; 400]), ("b", &[b'x'; 400]), ("c", &[b'x'; 400])];
    for (body, expected) in [
        (bomb.clone(), "body_too_large: the answer is larger than `max_body` when it is unpacked"),
        (
            zipped(&[("b.gz", &bomb)]),
            "body_too_large: `b` in the answer is larger than `max_body` when it is unpacked",
        ),
        // Of all members together.
        (zipped(&three), "body_too_large: `c` in the answer is larger than `max_body` when it is unpacked"),
        (cut, "decode: the answer breaks off within what is compressed"),
        (broken, "decode: the answer cannot be unpacked: "),
        (halved, "decode: the answer cannot be unpacked: "),
        (deep, "decode: more than 3 archives within each other"),
    ] {
        let said = unpacked(&body, 1000).unwrap_err();
        assert!(said.starts_with(expected), "{said}");
    }
}

proptest! {
    #[test]
    fn any_bytes(
        kind in 0..3,
        tail in prop::collection::vec(any::<u8>(), 0..80),
        at in any::<prop::sample::Index>(),
        with in any::<u8>(),
    ) {
        let body = match kind {
            0 => [&[0x1f, 0x8b, 8][..], &tail].concat(),
            1 => [&b"PK\x03\x04"[..], &tail].concat(),
            _ => {
                let mut body = zipped(&[("a.csv", &tail), ("b", b"xyz")]);
                let at = at.index(body.len());
                body[at] = with;
                body
            }
        };
        let _ = unpack(&body, 10_000);
    }
}
