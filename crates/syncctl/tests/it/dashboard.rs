//! The dashboard as people meet it: the real server, a real Chromium, real keys and clicks. Pictures of it are kept
//! in `target/dashboard`.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::process::{Child, Stdio};
use std::thread;

use serde_json::{Value, json};

use crate::harness::Place;
use crate::servers::{Verbatim, answer, json_answer};
use crate::webdriver::{Browser, DELETE, ENTER, ESCAPE, TAB};

/// `syncctl serve` on a port of its own, until dropped.
struct Served {
    process: Child,
    address: String,
    token: String,
    _place: Place,
}

impl Served {
    fn start(arguments: &[&str]) -> Served {
        let place = Place::new();
        let mut all = vec!["serve", "--listen", "127.0.0.1:0"];
        all.extend(arguments);
        let mut process = place.command(&all).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let mut said = BufReader::new(process.stderr.take().unwrap()).lines();
        let address = said
            .find_map(|line| {
                let line = line.unwrap();
                Some(line.split_once("listening on http://")?.1.split(' ').next()?.to_owned())
            })
            .unwrap();
        thread::spawn(move || said.for_each(drop));
        let token = std::fs::read_to_string(place.path().join("state/syncctl/serve/token")).unwrap();
        Served { process, address, token: token.trim().to_owned(), _place: place }
    }

    /// The page's address, the token in it unless there is none to be.
    fn page(&self, token: Option<&str>) -> String {
        let token = token.map(|token| format!("#token={token}")).unwrap_or_default();
        format!("http://{}/{token}", self.address)
    }

    /// Adds a plan without the page.
    #[track_caller]
    fn add(&self, plan: &str) {
        let mut stream = TcpStream::connect(&self.address).unwrap();
        write!(
            stream,
            "POST /api/v1/plans HTTP/1.1\r\nhost: {}\r\nauthorization: Bearer {}\r\ncontent-type: application/toml\r\n\
             content-length: {}\r\nconnection: close\r\n\r\n{plan}",
            self.address,
            self.token,
            plan.len()
        )
        .unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        assert!(answer.starts_with("HTTP/1.1 201"), "{answer}");
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Requests to the practice API, some of which fail for good, since each is tried once only.
const TYPED: &str = r#"[plan]
name = "typed"
[store]
sqlite = "typed.db"
[endpoints.market]
base_url = "sandbox://market?errors=10&limit=40/s&slow=10ms"
limits = ["40/s"]
retry = { attempts = 1 }
[tasks.candles]
endpont = "market"
get = "/candles"
query = { symbol = "{{ symbol }}", startTime = "{{ week.start | epoch_ms }}", endTime = "{{ week.end | epoch_ms - 1 }}" }
foreach = { symbol = ["000001.SZ", "000002.SH", "000003.SZ"], week = { every = "7d", from = "2023-01-02", to = "2024-01-01" } }
map = "{open_time: .[0], close: .[4]}"
fields = { symbol = "{{ symbol }}" }
key = ["symbol", "open_time"]
"#;

const STATE: &str = "document.querySelector('.plan-page .state').innerText";
const WIDTH: &str = "parseFloat(document.querySelector('[data-task=candles] .bar .done').style.width)";

#[test]
fn a_plan_is_typed_started_paused_resumed_and_its_failures_retried() {
    let Some(browser) = Browser::start() else { return };
    let server = Served::start(&[]);
    browser.resize(1280, 800);

    // The token is asked for, and a wrong one is said to be wrong.
    browser.open(&server.page(None));
    browser.type_into("#token", &format!("wrong{ENTER}"));
    browser.eventually("document.querySelector('#token-why').innerText.includes('not')");
    browser.picture("desktop-sign-in");
    browser.script("document.querySelector('#token').value = ''");
    browser.type_into("#token", &format!("{}{ENTER}", server.token));
    browser.eventually("document.querySelector('.empty h2')?.innerText === 'No plan yet'");
    browser.eventually("document.querySelector('#link').innerText === 'live'");
    browser.picture("desktop-empty");

    // A typo is underlined in the text, at its line, and listed with the way out.
    browser.click("a[href='#/add']");
    browser.type_into("textarea", TYPED);
    browser.eventually("document.querySelector('.mirror mark.error')?.innerText === 'endpont'");
    browser.eventually("document.querySelector('.gutter .error')?.innerText === '10'");
    let said = browser.eventually("document.querySelector('.diagnostics li').innerText");
    let said = said.as_str().unwrap();
    assert!(said.contains("line 10:1") && said.contains("endpont") && said.contains("endpoint"), "{said}");
    browser.picture("desktop-typo");
    browser.click(".diagnostics .place");
    browser.press(&format!("{}endpoint", DELETE.repeat("endpont".len())));
    browser.eventually("document.querySelector('.verdict').innerText === 'The plan is right.'");
    assert_eq!(browser.script("return document.querySelectorAll('.mirror mark').length"), 0);
    browser.click(".add button.primary");
    browser.eventually("location.hash === '#/plans/typed'");

    // Its bar moves, stops while it is paused, and moves again.
    browser.click("[data-verb=start]");
    let before = browser.eventually(WIDTH).as_f64().unwrap();
    browser.eventually(&format!("{WIDTH} > {before}"));
    browser.eventually("parseFloat(document.querySelector('.tiles dd').innerText) > 0");
    browser.eventually("document.querySelectorAll('.gauges li').length === 1");
    browser.picture("desktop-run");
    browser.click("[data-verb=pause]");
    browser.eventually(&format!("{STATE} === 'paused'"));
    browser.eventually("document.querySelector('[data-verb=resume]').checkVisibility()");
    browser.picture("desktop-paused");
    browser.click("[data-verb=resume]");
    browser.eventually(&format!("{STATE} === 'failed'"));
    browser.eventually(
        "[...document.querySelectorAll('.said p')].some((p) => p.innerText.includes('ended with failures'))",
    );

    // Rows, and one of them whole.
    browser.click("a[href='#/plans/typed/rows']");
    browser.eventually("document.querySelectorAll('table.rows tbody tr').length === 50");
    browser.eventually("document.querySelector('table.rows').innerText.includes('000003.SZ')");
    browser.picture("desktop-rows");
    browser.click("table.rows tbody tr button");
    browser.eventually("document.querySelector('dialog.whole').innerText.includes('open_time')");
    browser.press(ESCAPE);
    browser.eventually("document.querySelector('dialog') === null");

    // What failed, and the line of the plan that asked for it; retried until nothing has failed.
    browser.click("a[href='#/plans/typed/failures']");
    let failure = browser.eventually("document.querySelector('.failure').innerText");
    let failure = failure.as_str().unwrap();
    for part in ["candles", "500", "GET ", "/candles?symbol=", "Line 11 of the plan", "get = \"/candles\""] {
        assert!(failure.contains(part), "no {part:?} in {failure}");
    }
    browser.picture("desktop-failures");
    for _ in 0..5 {
        let run = browser.eventually("document.querySelector('section > .row p').innerText");
        browser.click("section > .row button.primary");
        browser.eventually(&format!("document.querySelector('section > .row p').innerText !== {run}"));
        browser.eventually(&format!("['failed', 'complete'].includes({STATE})"));
        browser.eventually("document.querySelector('.failure, .empty:not([hidden] *)')");
        if browser.script(&format!("return {STATE}")) == "complete" {
            break;
        }
    }
    browser.eventually(&format!("{STATE} === 'complete'"));
    browser.eventually("document.querySelector('main').innerText.includes('No request failed')");

    // Its text is replaced: what would change is said while one types, and what did afterwards.
    browser.click("a[href='#/plans/typed/text']");
    browser.eventually("document.querySelector('textarea').value.includes('40/s')");
    browser.script(
        "const text = document.querySelector('textarea');
         const at = text.value.indexOf('[\"40/s') + 2;
         text.focus();
         text.setSelectionRange(at, at + 2);",
    );
    browser.press("30");
    browser.eventually("document.querySelector('.editor .note').innerText.includes('limits')");
    browser.click(".text button.primary");
    browser.eventually("document.querySelector('p.note[role=status]').innerText.startsWith('Replaced: ')");
    browser.eventually("document.querySelector('.text button.primary').disabled");

    // It starts with options; the history has all its runs.
    browser.click("details.options summary");
    browser.click("details.options .choices input[value=candles]");
    browser.click("#start-full");
    browser.click("details.options button");
    browser.eventually(&format!("{STATE} === 'running'"));
    browser.click("a[href='#/plans/typed/runs']");
    browser.eventually("document.querySelectorAll('.runs > li').length > 2");
    browser.eventually("document.querySelector('.runs > li .state').innerText === 'running'");
    browser.picture("desktop-history");

    // It goes, once that was confirmed; its run with it.
    browser.click("[data-verb=remove]");
    browser.click("dialog button[value=yes]");
    browser.eventually("document.querySelector('.empty h2')?.innerText === 'No plan yet'");
    assert_eq!(browser.complaints(), Vec::<String>::new());
}

/// Texts that would do harm as HTML, in a terminal, or to the direction of what stands beside them.
const HOSTILE: [&str; 5] = [
    "<script>window.pwned = 1</script>",
    "\"><img src=x onerror=\"window.pwned = 1\">",
    "\u{202E}moc.elpmaxe//:sptth",
    "\u{1b}]0;pwned\u{7}\u{1b}[31mred",
    "<svg/onload=window.pwned=1>&lt;b&gt;",
];
const SHOWN: [&str; 5] = [
    "<script>window.pwned = 1</script>",
    "\"><img src=x onerror=\"window.pwned = 1\">",
    "\\u{202E}moc.elpmaxe//:sptth",
    "\\u{1B}]0;pwned\\u{7}\\u{1B}[31mred",
    "<svg/onload=window.pwned=1>&lt;b&gt;",
];

#[test]
fn hostile_texts_are_shown_as_text() {
    let Some(browser) = Browser::start() else { return };
    let api = Verbatim::start(|path| {
        let texts = HOSTILE.map(Value::from);
        if path.starts_with("/refused") {
            let body = json!({ "error": texts }).to_string();
            return answer("400 Bad Request", "content-type: application/json\r\n", body.as_bytes());
        }
        let mut record = serde_json::Map::new();
        record.insert("id".into(), 1.into());
        for (at, text) in HOSTILE.iter().enumerate() {
            record.insert(format!("{at}{text}"), (*text).into());
        }
        record.insert("all".into(), texts.to_vec().into());
        json_answer(json!([record]).to_string().as_bytes())
    });
    let server = Served::start(&["--allow-private", "127.0.0.1"]);
    let description = Value::from(HOSTILE.join(" ")).to_string();
    server.add(&format!(
        "[plan]\nname = \"hostile\"\ndescription = {description}\n[store]\nsqlite = \"hostile.db\"\n\
         [endpoints.api]\nbase_url = \"{}\"\nlimits = []\n\
         [tasks.things]\nget = \"/things\"\nkey = [\"id\"]\n[tasks.refused]\nget = \"/refused\"\nquery = {{ q = {description} }}\n",
        api.url()
    ));
    browser.resize(360, 740);
    browser.open(&server.page(Some(&server.token)));
    browser.eventually("document.querySelector('[data-plan=hostile] .description')");
    assert_eq!(
        browser.script("return location.href.includes('token')"),
        false,
        "the token stays in the address"
    );
    check_harmless(&browser, "#/", &SHOWN);
    browser.click("[data-verb=start]");
    browser.eventually("document.querySelector('.state.failed')");

    for (page, ready) in [
        ("#/plans/hostile", "document.querySelectorAll('.tasks > li').length === 2"),
        ("#/plans/hostile/rows/things", "document.querySelector('table.rows tbody tr')"),
        ("#/plans/hostile/failures", "document.querySelector('.failure .body')"),
        ("#/plans/hostile/runs", "document.querySelector('.runs li')"),
        ("#/plans/hostile/text", "document.querySelector('textarea').value !== ''"),
    ] {
        browser.script(&format!("location.hash = {}", Value::from(page)));
        browser.eventually(ready);
        check_harmless(&browser, page, &SHOWN);
    }
    // The longest texts of all: a cell is cut, a row shown whole is not.
    browser.script("location.hash = '#/plans/hostile/rows/things'");
    browser.click("table.rows tbody tr button");
    let all = browser.eventually("document.querySelector('dialog.whole').innerText");
    for text in SHOWN {
        assert!(all.as_str().unwrap().contains(text), "no {text:?} in {all}");
    }
    check_harmless(&browser, "a row", &[]);
    assert_eq!(browser.complaints(), Vec::<String>::new());
}

/// Nothing became an element or ran, all texts are there to be read, and nothing is wider than the page.
#[track_caller]
fn check_harmless(browser: &Browser, page: &str, texts: &[&str]) {
    let made = browser.script(
        "return [document.scripts.length, document.querySelectorAll('img, iframe, object, embed, b, main style').length,
            [...document.querySelectorAll('svg')].filter((e) => e.hasAttribute('onload')).length,
            window.pwned ?? null, document.title.includes('pwned')]",
    );
    assert_eq!(made, json!([1, 0, 0, null, false]), "{page}");
    // But for the layer that lies under the editor's text, letter by letter.
    let text = browser.script(
        "const main = document.querySelector('main').cloneNode(true);
         main.querySelector('.mirror')?.remove();
         return main.textContent",
    );
    let text = text.as_str().unwrap();
    for expected in texts {
        assert!(text.contains(expected), "{page}: no {expected:?} in {text}");
    }
    let unseen = text.chars().find(|c| (c.is_control() && !"\n\t".contains(*c)) || *c == '\u{202E}');
    assert_eq!(unseen, None, "{page}: {text:?}");
    check_fits(browser, page);
}

#[track_caller]
fn check_fits(browser: &Browser, page: &str) {
    let widths = browser.script(
        "const wide = [...document.querySelectorAll('main *')].filter((e) => !e.closest('.scroll, .tabs, .paper, pre')
             && e.getBoundingClientRect().right > innerWidth + 1);
         return [document.scrollingElement.scrollWidth, innerWidth, wide.slice(0, 3).map((e) => e.outerHTML.slice(0, 200))]",
    );
    let is_narrow = widths[0].as_u64().unwrap() <= widths[1].as_u64().unwrap();
    assert!(is_narrow && widths[2] == json!([]), "{page} is wider than the screen: {widths}");
}

/// A plan that runs for some seconds; nothing fails.
fn steady(name: &str) -> String {
    TYPED.replace("endpont", "endpoint").replace("errors=10&", "").replace("typed", name)
}

#[test]
fn keys_alone_start_a_plan_and_a_phone_shows_all_of_it() {
    let Some(browser) = Browser::start() else { return };
    let server = Served::start(&[]);
    server.add(&steady("steady"));
    browser.resize(360, 740);
    browser.open(&server.page(Some(&server.token)));
    browser.eventually("document.querySelector('[data-plan=steady] [data-verb=start]').checkVisibility()");
    browser.eventually("document.querySelector('#link').innerText === 'live'");
    check_fits(&browser, "the plans");
    browser.picture("phone-plans");

    // The first stop skips to the content; a few more lead to the button, which shows that it has the focus.
    browser.press(TAB);
    browser.eventually(
        "document.activeElement.id === 'skip' && document.activeElement.getBoundingClientRect().top >= 0",
    );
    tab_to(&browser, "[data-plan=steady] [data-verb=start]");
    assert_eq!(browser.script("return getComputedStyle(document.activeElement).outlineStyle"), "solid");
    browser.press(ENTER);
    browser.eventually("document.querySelector('[data-plan=steady] .state.running')");
    // What had the focus is gone; the next button has it.
    browser.eventually("['pause', 'cancel'].includes(document.activeElement.dataset.verb)");

    // A dialog takes the focus, keeps it, and gives it back.
    tab_to(&browser, "[data-verb=remove]");
    browser.press(ENTER);
    browser.eventually("document.activeElement.value === 'no'");
    for _ in 0..4 {
        browser.press(TAB);
        assert_eq!(
            browser.script("return document.activeElement === document.body || document.activeElement.closest('dialog') !== null"),
            true,
            "the focus leaves the dialog"
        );
    }
    browser.press(ESCAPE);
    browser.eventually("document.activeElement.dataset.verb === 'remove'");

    // On to the plan's page, by keys as well.
    browser.press(TAB);
    browser.script("document.querySelector('#main').focus()");
    tab_to(&browser, "[data-plan=steady] a.name");
    browser.press(ENTER);
    browser.eventually("document.querySelector('[data-task=candles] .bar .done').style.width !== '0%'");
    check_fits(&browser, "the run");
    browser.picture("phone-run");
    for (page, ready) in [
        ("/#/plans/steady/rows", "document.querySelector('table.rows tbody tr')"),
        ("/#/plans/steady/failures", "document.querySelector('.empty')"),
        ("/#/plans/steady/runs", "document.querySelector('.runs li')"),
        ("/#/plans/steady/text", "document.querySelector('.verdict').innerText === 'The plan is right.'"),
        ("/#/add/example", "document.querySelector('.verdict').innerText === 'The plan is right.'"),
        ("/api", "document.querySelectorAll('.operation').length > 20"),
        ("/api#problem-invalid-plan", "document.querySelector('tr:target')"),
    ] {
        browser.open(&format!("http://{}{page}", server.address));
        browser.eventually(ready);
        check_fits(&browser, page);
        let name = page
            .trim_matches(|c: char| !c.is_ascii_alphanumeric())
            .replace(|c: char| !c.is_ascii_alphanumeric(), "-");
        browser.picture(&format!("phone-{name}"));
    }
    server.add(&steady("another"));
    browser.resize(1280, 800);
    browser.open(&server.page(Some(&server.token)));
    browser.click("[data-plan=another] [data-verb=start]");
    browser.eventually("document.querySelector('[data-plan=another] .bar .done').style.width !== '0%'");
    browser.picture("desktop-plans");
    browser.dark(true);
    browser.picture("desktop-plans-dark");
    assert_eq!(browser.complaints(), Vec::<String>::new());
}

/// Presses the tab key until the focus is there.
#[track_caller]
fn tab_to(browser: &Browser, selector: &str) {
    let there = format!("return document.activeElement.matches({})", Value::from(selector));
    for _ in 0..40 {
        if browser.script(&there) == true {
            return;
        }
        browser.press(TAB);
    }
    panic!("40 tabs do not lead to {selector}");
}
