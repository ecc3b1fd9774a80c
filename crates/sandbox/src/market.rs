//! Market data: instruments and daily bars, as `{fields, items}` by POST, as candle arrays and as objects by GET.
//! A bar is a pure function of (seed, number): number `no` is symbol `(no - 1) % symbols` on its
//! `(no - 1) / symbols`-th weekday, so that every bar can be seen to have come exactly once.

use http::{Method, StatusCode};
use jiff::civil::Date;
use jiff::{Span, Timestamp};
use serde_json::{Value, json};

use crate::answer::{self, Answer, refusal};
use crate::ask::Ask;
use crate::mount::Mount;
use crate::random::draw;

const DEFAULT_RECORDS: u64 = 5000;
/// What one answer of the POST API holds at most.
const LARGEST_TABLE: u64 = 6000;
const DAY_MS: i64 = 86_400_000;
const INDUSTRIES: [&str; 5] = ["银行", "软件服务", "半导体", "白酒", "电气设备"];
const BAR_FIELDS: [&str; 12] = [
    "ts_code",
    "trade_date",
    "open",
    "high",
    "low",
    "close",
    "pre_close",
    "change",
    "pct_chg",
    "vol",
    "amount",
    "no",
];
const STOCK_FIELDS: [&str; 7] = ["ts_code", "symbol", "name", "area", "industry", "list_date", "no"];

/// Answers a request below `/market`.
pub(crate) fn answer(mount: &Mount, ask: &Ask<'_>) -> Answer {
    let outcome = match ask.segments().as_slice() {
        [] if ask.method == Method::POST => table(mount, ask),
        ["_grow"] if ask.method == Method::POST => ask.number("by", 1).map(|by| {
            mount.grow(by);
            answer::json(json!({ "records": mount.records(DEFAULT_RECORDS) }).to_string())
        }),
        ["instruments"] => Ok(instruments(mount)),
        ["candles"] => Ok(candles(mount, ask).unwrap_or_else(|(code, message)| {
            let mut response = answer::json(json!({ "code": code, "msg": message }).to_string());
            *response.status_mut() = StatusCode::BAD_REQUEST;
            response
        })),
        ["bars", symbol] => bars(mount, ask, symbol),
        _ => Ok(refusal(StatusCode::NOT_FOUND, "no such thing in the market; GET / lists the routes")),
    };
    outcome.unwrap_or_else(|problem| refusal(StatusCode::BAD_REQUEST, &problem))
}

/// One symbol's day. Prices are in cents.
struct Bar {
    no: u64,
    symbol: String,
    date: Date,
    open: i64,
    high: i64,
    low: i64,
    close: i64,
    before: i64,
    volume: i64,
}

impl Bar {
    fn new(mount: &Mount, symbol: u64, day: u64) -> Bar {
        let seed = mount.options.seed;
        let (close, before) = (price(seed, symbol, day + 1), price(seed, symbol, day));
        let dice = draw(seed, 21 + symbol, day);
        let open = before + (dice % 41) as i64 - 20;
        let high = open.max(close) + ((dice >> 8) % 60) as i64;
        let low = (open.min(close) - ((dice >> 16) % 60) as i64).max(1);
        Bar {
            no: day * mount.options.symbols + symbol + 1,
            symbol: symbol_name(symbol),
            date: date_of(day),
            open,
            high,
            low,
            close,
            before,
            volume: 10_000 + ((dice >> 24) % 9_000_000) as i64,
        }
    }

    /// The value of a field of the POST API.
    fn field(&self, name: &str) -> Value {
        match name {
            "ts_code" => self.symbol.clone().into(),
            "trade_date" => self.date.strftime("%Y%m%d").to_string().into(),
            "open" => decimal(self.open, 2),
            "high" => decimal(self.high, 2),
            "low" => decimal(self.low, 2),
            "close" => decimal(self.close, 2),
            "pre_close" => decimal(self.before, 2),
            "change" => decimal(self.close - self.before, 2),
            "pct_chg" => decimal((self.close - self.before) * 1_000_000 / self.before, 4),
            "vol" => decimal(self.volume, 2),
            "amount" => decimal(self.volume * self.close / 1000, 3),
            _ => self.no.into(),
        }
    }

    fn open_time(&self) -> i64 {
        self.date.duration_since(Date::constant(1970, 1, 1)).as_millis() as i64
    }
}

fn table(mount: &Mount, ask: &Ask<'_>) -> Result<Answer, String> {
    let Some(body) = ask.json.as_ref().filter(|body| body.is_object()) else {
        return Ok(failed(40001, "the body is not a JSON object"));
    };
    if mount.options.token.as_deref().is_some_and(|token| body["token"].as_str() != Some(token)) {
        return Ok(failed(2002, "抱歉，您的token不对，请确认。"));
    }
    let name = body["api_name"].as_str().unwrap_or_default();
    let known: &[&str] = match name {
        "daily" => &BAR_FIELDS,
        "stock_basic" => &STOCK_FIELDS,
        _ => return Ok(failed(40101, "请指定正确的接口名")),
    };
    let asked: Vec<&str> = body["fields"].as_str().unwrap_or_default().split(',').map(str::trim).collect();
    let mut fields: Vec<&str> = asked.into_iter().filter(|field| !field.is_empty()).collect();
    if fields.is_empty() {
        fields = known.to_vec();
    } else if let Some(wrong) = fields.iter().find(|field| !known.contains(field)) {
        return Ok(failed(40001, &format!("unknown field {wrong}")));
    }
    let limit = ask.number("limit", LARGEST_TABLE)?.min(LARGEST_TABLE);
    let offset = ask.number("offset", 0)?;
    let (rows, more) = if name == "daily" {
        daily(mount, ask, &fields, offset, limit)?
    } else {
        stocks(mount, ask, &fields, offset, limit)
    };
    let data = json!({ "fields": fields, "items": rows, "has_more": more });
    Ok(answer::json(json!({ "request_id": "sandbox", "code": 0, "msg": null, "data": data }).to_string()))
}

/// The POST API's way to fail: a code in a 200.
fn failed(code: i64, message: &str) -> Answer {
    answer::json(json!({ "request_id": "sandbox", "code": code, "msg": message, "data": null }).to_string())
}

/// Newest first; of one day in order of symbols.
fn daily(
    mount: &Mount,
    ask: &Ask<'_>,
    fields: &[&str],
    offset: u64,
    limit: u64,
) -> Result<(Vec<Value>, bool), String> {
    let symbols = wanted_symbols(mount, ask);
    let on = compact_date(ask, "trade_date")?;
    let first = compact_date(ask, "start_date")?.max(on).map_or(0, days_before);
    let last = match (compact_date(ask, "end_date")?, on) {
        (Some(end), Some(on)) => Some(end.min(on)),
        (end, on) => end.or(on),
    };
    let all_days = mount.records(DEFAULT_RECORDS).div_ceil(mount.options.symbols);
    // Days after the last one asked for start at the number of weekdays up to and including it.
    let end =
        last.map_or(all_days, |date| days_before(date.saturating_add(Span::new().days(1))).min(all_days));
    let mut skip = offset;
    let mut rows = Vec::new();
    for day in (first.min(end)..end).rev() {
        let held = symbols.iter().copied().filter(|symbol| day < bars_of(mount, *symbol));
        let held: Vec<u64> = held.collect();
        // Whole days are skipped without making their bars.
        if skip >= held.len() as u64 {
            skip -= held.len() as u64;
            continue;
        }
        for symbol in held.into_iter().skip(skip as usize) {
            if rows.len() as u64 == limit {
                return Ok((rows, true));
            }
            let bar = Bar::new(mount, symbol, day);
            rows.push(fields.iter().map(|field| bar.field(field)).collect());
        }
        skip = 0;
    }
    Ok((rows, false))
}

fn stocks(mount: &Mount, ask: &Ask<'_>, fields: &[&str], offset: u64, limit: u64) -> (Vec<Value>, bool) {
    let symbols = wanted_symbols(mount, ask);
    let row = |symbol: u64| -> Value {
        let name = symbol_name(symbol);
        let value = |field: &&str| -> Value {
            match *field {
                "ts_code" => name.clone().into(),
                "symbol" => name[..6].into(),
                "name" => format!("样本{:03}", symbol + 1).into(),
                "area" => if symbol.is_multiple_of(2) { "深圳" } else { "上海" }.into(),
                "industry" => INDUSTRIES[(symbol % 5) as usize].into(),
                "list_date" => "20100104".into(),
                _ => (symbol + 1).into(),
            }
        };
        fields.iter().map(value).collect()
    };
    let start = usize::try_from(offset).unwrap_or(usize::MAX).min(symbols.len());
    let end = start.saturating_add(limit as usize).min(symbols.len());
    (symbols[start..end].iter().copied().map(row).collect(), end < symbols.len())
}

fn instruments(mount: &Mount) -> Answer {
    let list: Vec<Value> = (0..mount.options.symbols)
        .map(|symbol| {
            json!({
                "id": symbol + 1,
                "symbol": symbol_name(symbol),
                "name": format!("Sample {:03}", symbol + 1),
                "exchange": if symbol.is_multiple_of(2) { "SZSE" } else { "SSE" },
                "currency": "CNY",
                "lot": 100,
                "tick": decimal(1, 2),
                "listed": "2010-01-04",
                "active": !symbol.is_multiple_of(17) || symbol == 0,
            })
        })
        .collect();
    answer::json(Value::from(list).to_string())
}

fn candles(mount: &Mount, ask: &Ask<'_>) -> Result<Answer, (i64, String)> {
    let number = |name: &str| match ask.param(name).map(|text| text.parse::<i64>()) {
        None => Ok(None),
        Some(Ok(number)) => Ok(Some(number)),
        Some(Err(_)) => Err((-1100, format!("Illegal characters found in parameter '{name}'."))),
    };
    let symbol = ask.param("symbol").and_then(|name| symbol_number(mount, &name));
    let Some(symbol) = symbol else {
        return Err((-1121, "Invalid symbol.".to_owned()));
    };
    if ask.param("interval").is_some_and(|interval| interval != "1d") {
        return Err((-1120, "Invalid interval.".to_owned()));
    }
    let limit = number("limit")?.unwrap_or(500).clamp(1, 1000) as u64;
    let (from, to) = (number("startTime")?, number("endTime")?);
    let held = bars_of(mount, symbol);
    // The first weekday that opens at or after a time is the number of weekdays before it, rounded up to a day.
    let first = from.map_or(0, |from| days_before(date_at(from.saturating_add(DAY_MS - 1))).min(held));
    let end = to.map_or(held, |to| days_before(date_at(to.saturating_add(DAY_MS))).min(held)).max(first);
    let days = if from.is_some() { first..end.min(first + limit) } else { end.saturating_sub(limit)..end };
    let list: Vec<Value> = days
        .map(|day| {
            let bar = Bar::new(mount, symbol, day);
            let quote = bar.volume * bar.close / 100;
            json!([
                bar.open_time(),
                text(bar.open, 2),
                text(bar.high, 2),
                text(bar.low, 2),
                text(bar.close, 2),
                text(bar.volume, 3),
                bar.open_time() + DAY_MS - 1,
                text(quote, 3),
                bar.no,
                text(bar.volume / 2, 3),
                text(quote / 2, 3),
                "0"
            ])
        })
        .collect();
    Ok(answer::json(Value::from(list).to_string()))
}

fn bars(mount: &Mount, ask: &Ask<'_>, symbol: &str) -> Result<Answer, String> {
    let Some(symbol) = symbol_number(mount, symbol) else {
        return Ok(refusal(StatusCode::NOT_FOUND, "no such symbol"));
    };
    let held = bars_of(mount, symbol);
    let first = boundary(ask, "from")?.unwrap_or(0);
    let end = boundary(ask, "to")?.unwrap_or(held).min(held);
    let list: Vec<Value> = (first..end.max(first))
        .map(|day| {
            let bar = Bar::new(mount, symbol, day);
            json!({
                "no": bar.no,
                "symbol": bar.symbol,
                "date": bar.date.to_string(),
                "open": decimal(bar.open, 2),
                "high": decimal(bar.high, 2),
                "low": decimal(bar.low, 2),
                "close": decimal(bar.close, 2),
                "volume": bar.volume,
                "amount": decimal(bar.volume * bar.close, 2),
            })
        })
        .collect();
    Ok(answer::json(Value::from(list).to_string()))
}

/// The first weekday whose midnight is at or after a date or an RFC 3339 time.
fn boundary(ask: &Ask<'_>, name: &str) -> Result<Option<u64>, String> {
    let Some(given) = ask.param(name) else {
        return Ok(None);
    };
    if let Ok(time) = given.parse::<Timestamp>() {
        return Ok(Some(days_before(date_at(time.as_millisecond().saturating_add(DAY_MS - 1)))));
    }
    let date: Date =
        given.parse().map_err(|_| format!("`{name}` is neither a date nor a time: {given:?}"))?;
    Ok(Some(days_before(date)))
}

fn compact_date(ask: &Ask<'_>, name: &str) -> Result<Option<Date>, String> {
    let Some(given) = ask.param(name) else {
        return Ok(None);
    };
    let date =
        Date::strptime("%Y%m%d", &given).map_err(|_| format!("`{name}` is not YYYYMMDD: {given:?}"))?;
    Ok(Some(date))
}

fn wanted_symbols(mount: &Mount, ask: &Ask<'_>) -> Vec<u64> {
    match ask.param("ts_code") {
        None => (0..mount.options.symbols).collect(),
        Some(names) => names.split(',').filter_map(|name| symbol_number(mount, name.trim())).collect(),
    }
}

/// How many bars a symbol has.
fn bars_of(mount: &Mount, symbol: u64) -> u64 {
    mount.records(DEFAULT_RECORDS).saturating_sub(symbol).div_ceil(mount.options.symbols)
}

fn symbol_name(symbol: u64) -> String {
    format!("{:06}.{}", symbol + 1, if symbol.is_multiple_of(2) { "SZ" } else { "SH" })
}

fn symbol_number(mount: &Mount, name: &str) -> Option<u64> {
    let number: u64 = name.split('.').next()?.parse().ok()?;
    let symbol = number.checked_sub(1)?;
    (symbol < mount.options.symbols && symbol_name(symbol) == name).then_some(symbol)
}

/// The first bar's day, a Monday.
const FIRST_DAY: Date = Date::constant(2023, 1, 2);

fn date_of(day: u64) -> Date {
    let days = i64::try_from(day / 5 * 7 + day % 5).unwrap_or(i64::MAX).min(2_900_000);
    FIRST_DAY.saturating_add(Span::new().days(days))
}

/// How many weekdays since the first bar lie before a date.
fn days_before(date: Date) -> u64 {
    let days = (date.duration_since(FIRST_DAY).as_hours() / 24).max(0) as u64;
    days / 7 * 5 + (days % 7).min(5)
}

fn date_at(millisecond: i64) -> Date {
    let time = match Timestamp::from_millisecond(millisecond) {
        Ok(time) => time,
        Err(_) if millisecond < 0 => Timestamp::MIN,
        Err(_) => Timestamp::MAX,
    };
    time.to_zoned(jiff::tz::TimeZone::UTC).date()
}

/// In cents: a slow wave of its own for each symbol, and noise.
fn price(seed: u64, symbol: u64, day: u64) -> i64 {
    let base = 500 + (draw(seed, 20, symbol) % 20_000) as i64;
    let period = 40 + (symbol % 60) as i64;
    let phase = (day as i64).rem_euclid(period);
    let wave = (phase.min(period - phase)) * base / 200;
    let noise = (draw(seed, 22 + symbol, day) % 100) as i64;
    base + wave + noise
}

fn text(value: i64, places: u32) -> String {
    let unit = 10i64.pow(places);
    let sign = if value < 0 { "-" } else { "" };
    let (whole, part) = (value.abs() / unit, value.abs() % unit);
    format!("{sign}{whole}.{part:0width$}", width = places as usize)
}

/// A JSON number with exactly these digits.
pub(crate) fn decimal(value: i64, places: u32) -> Value {
    serde_json::from_str(&text(value, places)).unwrap_or_default()
}
