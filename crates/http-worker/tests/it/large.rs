//! Answers that are too large for memory: through a file, in parts, whatever way they are sent; and what they take.

use std::io::{BufWriter, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::Command;

use entities::{
    Cell, Decode, FailureClass, FailureKind, JqText, Landed, Next, Outcome, PaginateBy, ParamPlace, Place,
    RecordBatch,
};
use flate2::Compression;
use flate2::write::GzEncoder;

use crate::plans::{Case, failure_of};

/// Beyond this a body goes to a file.
const ABOVE: u64 = 16 << 20;

/// How a server sends a body.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Sends {
    WithLength,
    Chunked,
    /// `Content-Encoding: gzip`
    Encoded,
    /// A file that is compressed.
    Packed,
    /// The length of all of it, and half of it.
    Half,
}

/// What it sends.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Kind {
    Json,
    Lines,
    Table,
}

/// A server of so many records.
fn serve(kind: Kind, sends: Sends, records: u64) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let origin = format!("http://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let _ = answer(stream, kind, sends, records);
        }
    });
    origin
}

fn answer(mut stream: TcpStream, kind: Kind, sends: Sends, records: u64) -> std::io::Result<()> {
    let mut asked = [0; 4096];
    if stream.read(&mut asked)? == 0 {
        return Ok(());
    }
    let content_type = match (sends, kind) {
        (Sends::Packed, _) => "application/gzip",
        (_, Kind::Json) => "application/json",
        (_, Kind::Lines) => "application/x-ndjson",
        (_, Kind::Table) => "text/csv",
    };
    write!(stream, "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Type: {content_type}\r\n")?;
    let mut out = BufWriter::with_capacity(64 << 10, &stream);
    match sends {
        Sends::WithLength | Sends::Half => {
            let mut length = Count(0);
            body(&mut length, kind, records)?;
            write!(out, "Content-Length: {}\r\n\r\n", length.0)?;
            body(&mut out, kind, if sends == Sends::Half { records / 2 } else { records })?;
        }
        Sends::Chunked => {
            write!(out, "Transfer-Encoding: chunked\r\n\r\n")?;
            body(&mut BufWriter::with_capacity(100_000, Chunks(&mut out)), kind, records)?;
            write!(out, "0\r\n\r\n")?;
        }
        Sends::Encoded | Sends::Packed => {
            if sends == Sends::Encoded {
                write!(out, "Content-Encoding: gzip\r\n")?;
            }
            write!(out, "\r\n")?;
            let mut packed = GzEncoder::new(out, Compression::fast());
            body(&mut packed, kind, records)?;
            packed.finish()?.flush()?;
            return Ok(());
        }
    }
    out.flush()
}

struct Count(u64);

impl Write for Count {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0 += bytes.len() as u64;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

struct Chunks<W>(W);

impl<W: Write> Write for Chunks<W> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        write!(self.0, "{:x}\r\n", bytes.len())?;
        self.0.write_all(bytes)?;
        self.0.write_all(b"\r\n")?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.0.flush()
    }
}

/// Records of about 1 KiB, so that a test need not read millions.
fn body(out: &mut impl Write, kind: Kind, records: u64) -> std::io::Result<()> {
    let text = "text [with] {all} \\\" that, is: told apart ".repeat(22);
    match kind {
        Kind::Json => write!(out, "{{\"total\":{records},\"data\":[")?,
        Kind::Lines => {}
        Kind::Table => writeln!(out, "id,text")?,
    }
    for id in 0..records {
        match kind {
            Kind::Json => {
                let comma = if id > 0 { "," } else { "" };
                write!(out, "{comma}\n {{\"id\":{id},\"text\":\"{text}\"}}")?;
            }
            Kind::Lines => writeln!(out, "{{\"id\":{id},\"text\":\"{text}\"}}")?,
            Kind::Table => writeln!(out, "{id},\"{}\n\"", text.replace("\\\"", "\"\""))?,
        }
    }
    match kind {
        Kind::Json => write!(out, "],\"next\":\"behind\"}}"),
        Kind::Lines | Kind::Table => Ok(()),
    }
}

fn case(origin: &str, kind: Kind) -> Case {
    Case::get(origin, "/x", |case| {
        case.endpoint.max_body = 1 << 40;
        case.endpoint.timeout.total = std::time::Duration::from_secs(3600);
        if kind == Kind::Json {
            case.spec.reading.records = Some(JqText::new(".data"));
            case.spec.reading.total = Some(JqText::new(".total"));
            case.spec.paginate = Some(entities::Paginate {
                by: PaginateBy::Token {
                    param: "t".into(),
                    place: ParamPlace::Query,
                    size: None,
                    next: JqText::new(".next"),
                },
                until: None,
                max_pages: None,
                at: Place::default(),
            });
        } else {
            case.spec.reading.decode = if kind == Kind::Lines { Decode::Jsonl } else { Decode::Csv };
        }
    })
}

/// The sum of the ids of all records, and how many parts there are.
fn sum(landed: &Landed) -> (u64, usize) {
    let of = |batch: &RecordBatch| -> u64 {
        let ids = (0..batch.rows).map(|row| match batch.row(row)[0] {
            Cell::Int(id) => u64::try_from(id).unwrap(),
            Cell::Text(span) => batch.text_of(span).parse().unwrap(),
            other => panic!("{other:?}"),
        });
        ids.sum()
    };
    let spooled = landed.records.spooled.as_ref().expect("spooled");
    let (mut sum, mut parts) = (of(&landed.records), 1);
    for part in spooled.parts() {
        sum += of(&part.unwrap().records);
        parts += 1;
    }
    (sum, parts)
}

async fn landed(case: &Case) -> Landed {
    match case.run().await.unwrap().outcome {
        Outcome::Landed(landed) => *landed,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn they_come_in_parts_whatever_way_they_are_sent() {
    let records = ABOVE / 900;
    for (kind, sends) in [
        (Kind::Json, Sends::WithLength),
        (Kind::Json, Sends::Chunked),
        (Kind::Json, Sends::Encoded),
        (Kind::Lines, Sends::Packed),
        (Kind::Table, Sends::Chunked),
    ] {
        let directory = tempfile::tempdir().unwrap();
        let mut case = case(&serve(kind, sends, records), kind);
        case.spool_dir = Some(directory.path().to_path_buf());
        if kind == Kind::Lines {
            // Programs are run whenever it is read.
            case.spec.reading.filter = Some(JqText::new(".id != null"));
        }
        let landed = landed(&case).await;
        assert_eq!((landed.received, landed.records.all_rows()), (records, records), "{kind:?} {sends:?}");
        let (sum, parts) = sum(&landed);
        assert_eq!(sum, records * (records - 1) / 2, "{kind:?} {sends:?}");
        assert!((8..=20).contains(&parts), "{parts}");
        match landed.next {
            Next::Pages(pages) => assert!(kind == Kind::Json && pages.len() == 1),
            Next::End => assert!(kind != Kind::Json),
            other => panic!("{other:?}"),
        }
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 0);
    }
}

#[tokio::test]
async fn what_goes_wrong_is_told() {
    let records = ABOVE / 900;
    let nowhere = tempfile::tempdir().unwrap().path().join("nowhere");
    type Edit = Box<dyn Fn(&mut Case)>;
    let plain: fn(&mut Case) = |_| {};
    let cases: [(Sends, Edit, FailureKind, FailureClass, &str, &str); 6] = [
        (
            Sends::Half,
            Box::new(plain),
            FailureKind::Truncated,
            FailureClass::Transient,
            "the answer ended after",
            "",
        ),
        (
            Sends::WithLength,
            Box::new(move |case| case.spool_dir = Some(nowhere.clone())),
            FailureKind::BodyTooLarge,
            FailureClass::Permanent,
            "nowhere",
            "TMPDIR",
        ),
        (
            Sends::Chunked,
            Box::new(|case| case.endpoint.max_body = ABOVE + 1000),
            FailureKind::BodyTooLarge,
            FailureClass::Permanent,
            "larger than max_body, 16,778,216 bytes",
            "raise max_body",
        ),
        (
            Sends::Encoded,
            Box::new(|case| case.endpoint.max_body = ABOVE + 1000),
            FailureKind::BodyTooLarge,
            FailureClass::Permanent,
            "larger than max_body",
            "raise max_body",
        ),
        (
            Sends::Chunked,
            Box::new(|case| {
                case.endpoint.max_body = ABOVE;
                case.spec.reading.total = Some(JqText::new(".data | length"));
            }),
            FailureKind::BodyTooLarge,
            FailureClass::Permanent,
            "larger than max_body",
            "it has to fit in memory: `total` is a jq program, which may look at all records",
        ),
        (
            Sends::WithLength,
            Box::new(|case| case.spec.reading.total = Some(JqText::new(".nothing"))),
            FailureKind::Missing,
            FailureClass::Permanent,
            "nothing at `.nothing`",
            "",
        ),
    ];
    for (sends, edit, kind, class, message, help) in cases {
        let mut case = case(&serve(Kind::Json, sends, records), Kind::Json);
        edit(&mut case);
        let failure = failure_of(case.run().await.unwrap());
        assert_eq!((failure.kind, failure.class), (kind, class), "{failure:?}");
        assert!(failure.message.contains(message), "{failure:?}");
        assert!(failure.help.unwrap_or_default().contains(help), "{message}");
    }
    // What may look at all records still lands, from memory.
    let mut case = case(&serve(Kind::Json, Sends::Chunked, records), Kind::Json);
    case.spec.reading.total = Some(JqText::new(".data | length"));
    let landed = landed(&case).await;
    assert!(landed.records.spooled.is_none());
    assert_eq!(landed.records.rows as u64, records);
}

/// The most memory that this process has taken, and what it takes, in MiB.
fn memory() -> Option<(u64, u64)> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let of = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name))?;
        line.split_whitespace().next()?.parse::<u64>().ok()
    };
    Some((of("VmHWM:")? >> 10, of("VmRSS:")? >> 10))
}

const CHILD: &str = "SYNCCTL_TEST_LARGE_MB";

/// A process of its own, so that no other test's memory counts.
#[test]
fn memory_does_not_grow_with_an_answer() {
    let Some(_) = memory() else { return println!("no /proc here: memory is not measured") };
    #[expect(clippy::disallowed_methods, reason = "the size of a test")]
    let mib = std::env::var("SYNCCTL_BIG_MB").unwrap_or_else(|_| "64".to_owned());
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "large::the_child_takes_one", "--ignored", "--nocapture"])
        .env(CHILD, mib)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{said} {}", String::from_utf8_lossy(&output.stderr));
    let took: Vec<&str> = said.lines().filter(|line| line.contains("MiB")).collect();
    assert_eq!(took.len(), 2, "{said}");
    println!("{}", took.join("\n"));
}

#[tokio::test]
#[ignore = "memory_does_not_grow_with_an_answer runs it, in a process of its own"]
async fn the_child_takes_one() {
    #[expect(clippy::disallowed_methods, reason = "the size of a test")]
    let mib: u64 = std::env::var(CHILD).map_or(64, |mib| mib.parse().unwrap());
    // One of the kind that fits, so that the connection and all that is made once is there.
    landed(&case(&serve(Kind::Json, Sends::Chunked, 10), Kind::Json)).await;
    let (_, idle) = memory().unwrap();
    for sends in [Sends::WithLength, Sends::Chunked] {
        let records = (mib << 20) / 1000;
        let landed = landed(&case(&serve(Kind::Json, sends, records), Kind::Json)).await;
        assert_eq!(sum(&landed).0, records * (records - 1) / 2);
        let (most, _) = memory().unwrap();
        println!("{sends:?}, {mib} MiB: {idle} MiB before, {most} MiB at most");
        assert!(most - idle < 64, "{sends:?}: {idle} MiB before, {most} MiB at most");
    }
}
