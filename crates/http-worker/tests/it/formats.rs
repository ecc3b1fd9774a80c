//! Formats over the wire, and the pages that an answer makes known, in each place of the request.

use entities::{
    Body, Decode, Outcome, Page, Paginate, PaginateBy, ParamPlace, Place, Position, SizeParam, WorkerFactory,
    WorkerId,
};
use entities::{JqText, Next};

use crate::plans::{Case, template};
use crate::server::{Server, Then, ok};

#[tokio::test]
async fn each_format_is_asked_for_and_read() {
    for (decode, kind, body, accepted) in [
        (Decode::Auto, "text/csv", "a,b\n1,2\n3,4\n", "application/json"),
        (Decode::Json, "text/html", "[{\"a\":1},{\"a\":2}]", "application/json"),
        (Decode::Jsonl, "text/plain", "{\"a\":1}\n{\"a\":2}\n", "application/x-ndjson, */*;q=0.8"),
        (Decode::Csv, "application/octet-stream", "a\n1\n2\n", "text/csv, */*;q=0.8"),
        (Decode::Xml, "text/plain", "<r><a>1</a><a>2</a></r>", "application/xml, text/xml, */*;q=0.8"),
        (Decode::Text, "text/plain", "one", "text/plain, */*;q=0.8"),
    ] {
        let server = Server::start(move |_| (ok(kind, body.as_bytes()), Then::Keep));
        let case = Case::get(&server.origin, "/x", |case| {
            case.spec.reading.decode = decode;
            if decode == Decode::Xml {
                case.spec.reading.records = Some(JqText::new(".r.a"));
            }
        });
        let Outcome::Landed(landed) = case.run().await.unwrap().outcome else { panic!("{decode:?}") };
        assert_eq!(landed.received, if decode == Decode::Text { 1 } else { 2 }, "{decode:?}");
        let request = &server.requests()[0].to_ascii_lowercase();
        assert!(request.contains(&format!("accept: {accepted}\r\n")), "{request}");
    }
}

#[tokio::test]
async fn known_pages_go_out_in_each_place() {
    for (place, param, path, expected) in [
        (ParamPlace::Query, "p", "/x", "/x?p={}&n=2 "),
        (ParamPlace::Header, "X-Page", "/x", "x-page: {}\r\n"),
        (ParamPlace::Json, "page.no", "/x", "{\"page\":{\"no\":{}},\"n\":2}"),
        (ParamPlace::Form, "p", "/x", "p={}&n=2"),
        (ParamPlace::Path, "p", "/x/{{ p }}/by/{{ n }}", "/x/{}/by/2 "),
    ] {
        let server = Server::start(|_| (ok("application/json", b"{\"rows\":[1,2],\"pages\":5}"), Then::Keep));
        let case = Case::post(&server.origin, path, |case| {
            case.spec.path = template(path);
            case.spec.body = match place {
                ParamPlace::Json => Body::Empty,
                ParamPlace::Form => Body::Form(Vec::new()),
                _ => Body::Empty,
            };
            case.spec.reading.records = Some(JqText::new(".rows[]"));
            case.spec.paginate = Some(Paginate {
                by: PaginateBy::Page {
                    param: param.to_owned(),
                    place,
                    start: 1,
                    size: Some(SizeParam { param: "n".to_owned(), value: 2 }),
                    pages: Some(JqText::new(".pages")),
                    total: None,
                },
                until: None,
                max_pages: None,
                at: Place::default(),
            });
        });
        let (workers, mut job) = (case.workers(), case.job());
        let mut worker = workers.worker(WorkerId(0));
        let Outcome::Landed(landed) = worker.execute(&job).await.outcome else { panic!("{place:?}") };
        let Next::Pages(pages) = landed.next else { panic!("{place:?}") };
        let numbers: Vec<_> = pages.iter().map(|page| page.position.clone()).collect();
        assert_eq!(numbers, [2, 3, 4, 5].map(Position::Number), "{place:?}");
        job.task.page = Page { previous: None, ..pages[2].clone() };
        let Outcome::Landed(_) = worker.execute(&job).await.outcome else { panic!("{place:?}") };
        let requests = server.requests();
        for (request, number) in requests.iter().zip([1, 4]) {
            let expected = expected.replace("{}", &number.to_string());
            assert!(request.contains(&expected), "{place:?}: {expected} in {request}");
        }
    }
}
