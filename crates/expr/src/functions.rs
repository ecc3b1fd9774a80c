//! What templates offer, as a table: the reference prints it, `check` counts arguments with it, and a
//! test runs its examples.

/// A name, filter, function, test or operator of templates.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Function {
    /// How it is written: `date`.
    pub name: &'static str,
    /// What it is.
    pub kind: FunctionKind,
    /// What stands in its parentheses: `format, zone?`. A `?` marks what may be left out, `…` what
    /// is not counted.
    pub args: &'static str,
    /// What it does, in one sentence.
    pub doc: &'static str,
    /// A template that uses it. `now` is 2026-01-02T03:04:05Z there.
    pub example: &'static str,
    /// What the example gives: its text, or JSON if it is none.
    pub result: &'static str,
}

/// What a [`Function`] is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FunctionKind {
    /// `{{ now }}`
    Name,
    /// `{{ x | date("%Y") }}`
    Filter,
    /// `{{ duration("7d") }}`
    Function,
    /// `{{ x is odd }}`
    Test,
    /// `{{ x + 1 }}`, `{% if … %}`
    Syntax,
}

impl Function {
    /// How many arguments it takes at least and at most; none: it is not counted.
    pub(crate) fn arity(&self) -> Option<(usize, usize)> {
        if self.args.contains('…') {
            return None;
        }
        let args = || self.args.split(", ").filter(|arg| !arg.is_empty());
        Some((args().filter(|arg| !arg.ends_with('?')).count(), args().count()))
    }
}

const fn row(
    kind: FunctionKind,
    name: &'static str,
    args: &'static str,
    doc: &'static str,
    example: &'static str,
    result: &'static str,
) -> Function {
    Function { name, kind, args, doc, example, result }
}

use FunctionKind::{Filter, Function as Call, Name, Syntax, Test};

/// What templates offer, in the order in which the reference shows it.
#[rustfmt::skip]
pub const FUNCTIONS: &[Function] = &[
    row(Name, "vars", "", "The variables of `[vars]`, with what `--set` and the environment made of them.",
        "{{ vars.since }}", "2026-01-01"),
    row(Name, "secrets", "", "The values of `[secrets]`; only in requests, `auth` and the store's URL.",
        "Bearer {{ secrets.token }}", "Bearer s3cret"),
    row(Name, "now", "", "When the run began, in UTC; a resumed run keeps it. In a jwt's claims: the moment of signing.",
        "{{ now }}", "2026-01-02T03:04:05Z"),
    row(Name, "today", "", "The date of `now` in UTC.",
        "{{ today }}", "2026-01-02"),
    row(Name, "cursor", "", "The value that this incremental run goes on from, or the cursor's `start`.",
        "{{ cursor }}", "2026-01-01T00:00:00Z"),
    row(Name, "page", "", "The number of the page that is asked for, or the value that stands for it with in = \"path\".",
        "{{ page }}", "3"),
    row(Name, "record", "", "The record that a field is added to; only in `fields`.",
        "{{ record.id }}", "5"),

    row(Filter, "date", "format, zone?", "Writes a date in a strftime format: in its own offset, or in a time zone.",
        "{{ now | date('%Y%m%d', 'Asia/Shanghai') }}", "20260102"),
    row(Filter, "parse_date", "format, zone?", "Reads a date written in a strftime format (without an offset: as of the zone, or UTC) and gives RFC 3339.",
        "{{ '02.01.2026 09:30' | parse_date('%d.%m.%Y %H:%M', 'Europe/Berlin') }}", "2026-01-02T08:30:00Z"),
    row(Filter, "epoch", "", "A date as seconds since 1970.",
        "{{ now | epoch }}", "1767323045"),
    row(Filter, "epoch_ms", "", "A date as milliseconds since 1970.",
        "{{ (cursor | epoch_ms) + 1 }}", "1767225600001"),
    row(Filter, "from_epoch", "", "An epoch number (seconds, ms, µs or ns, by its size) as RFC 3339.",
        "{{ 1767323045678 | from_epoch }}", "2026-01-02T03:04:05.678Z"),
    row(Call, "duration", "length", "Added to a date or epoch number, or taken from one; the result has the date's own form.",
        "{{ today - duration('7d') }}", "2025-12-26"),
    row(Filter, "add", "length", "The same as `+ duration(…)`; a number counts seconds.",
        "{{ now | add('1 month') }}", "2026-02-02T03:04:05Z"),
    row(Filter, "sub", "length", "The same as `- duration(…)`.",
        "{{ 1767323045 | sub('1h') }}", "1767319445"),

    row(Filter, "default", "value, also_if_empty?", "The value if the name, or a field on the way to it, is not defined (its first name must be); with true, also if it is null, empty or false.",
        "{{ vars.region | default('eu') }}", "eu"),
    row(Syntax, "if … else", "", "One value or another.",
        "{{ 'asc' if page > 1 else 'desc' }}", "asc"),
    row(Syntax, "{% if %}", "", "Text only if a condition holds; also `elif` and `else`.",
        "open{% if vars.closed is defined %},closed{% endif %}", "open"),
    row(Syntax, "{% for %}", "", "Text for each element of a list.",
        "{% for repo in vars.repos %}repo:{{ repo }} {% endfor %}", "repo:a/b repo:c/d "),
    row(Syntax, "{% set %}", "", "A name for a value.",
        "{% set day = today | date('%d') %}{{ day }}/{{ day }}", "02/02"),
    row(Syntax, "and or not in", "", "Conditions are combined and tested.",
        "{{ 'a/b' in vars.repos and not page == 1 }}", "true"),
    row(Syntax, "== != < <= > >=", "", "Numbers of any length are compared by value, texts by their characters; a date in RFC 3339 compares as text.",
        "{{ cursor < now }}", "true"),
    row(Syntax, "+ - * / // % **", "", "Integers stay exact; a list cannot be repeated with `*`; `/` gives a decimal, `//` and `%` round down.",
        "{{ (page - 1) * 100 }}", "200"),
    row(Syntax, "~", "", "Puts texts together.",
        "{{ today ~ '.csv' }}", "2026-01-02.csv"),
    row(Syntax, "[…]", "", "An element of a list, a field of an object, or a slice.",
        "{{ now[:4] }}", "2026"),

    row(Filter, "upper", "", "In upper case.", "{{ 'btc' | upper }}", "BTC"),
    row(Filter, "lower", "", "In lower case.", "{{ 'BTC' | lower }}", "btc"),
    row(Filter, "title", "", "Each word with a capital.", "{{ 'new york' | title }}", "New York"),
    row(Filter, "capitalize", "", "The first letter as a capital, the rest in lower case.", "{{ 'oPEN' | capitalize }}", "Open"),
    row(Filter, "trim", "characters?", "Without white space (or the given characters) at both ends.", "{{ '/v1/' | trim('/') }}", "v1"),
    row(Filter, "replace", "from, to, count?", "Each occurrence replaced.", "{{ 'BTC/USD' | replace('/', '-') }}", "BTC-USD"),
    row(Filter, "split", "separator?, splits?", "The parts between a separator, as a list.", "{{ 'a/b' | split('/') | last }}", "b"),
    row(Filter, "join", "separator?, attribute?", "The elements as one text.", "{{ vars.repos | join(',') }}", "a/b,c/d"),
    row(Filter, "string", "", "A value as text.", "{{ page | string }}", "3"),
    row(Filter, "length", "", "How many characters, elements or fields it has.", "{{ vars.repos | length }}", "2"),
    row(Filter, "format", "…", "Fills a printf format.", "{{ '%04d' | format(page) }}", "0003"),
    row(Test, "startswith", "text", "Whether a text begins with another.", "{{ 'v1/x' is startswith('v1') }}", "true"),
    row(Test, "endswith", "text", "Whether a text ends with another.", "{{ 'a.csv' is endswith('.csv') }}", "true"),
    row(Test, "defined", "", "Whether a name has a value here.", "{{ vars.region is defined }}", "false"),
    row(Test, "none", "", "Whether a value is null.", "{{ record.closed is none }}", "true"),
    row(Test, "odd", "", "Whether a number is odd; also `even`, `divisibleby(n)`.", "{{ page is odd }}", "true"),
    row(Test, "number", "", "Whether it is a number; also `integer`, `float`, `string`, `boolean`, `sequence`, `mapping`.", "{{ page is number }}", "true"),

    row(Filter, "first", "", "The first element.", "{{ vars.repos | first }}", "a/b"),
    row(Filter, "last", "", "The last element.", "{{ vars.repos | last }}", "c/d"),
    row(Filter, "sort", "…", "Sorted; `reverse=true`, `attribute=\"name\"`.", "{{ [3, 1, 2] | sort(reverse=true) }}", "[3,2,1]"),
    row(Filter, "unique", "…", "Each element once.", "{{ ['a', 'b', 'a'] | unique }}", r#"["a","b"]"#),
    row(Filter, "reverse", "", "From the end to the beginning.", "{{ 'abc' | reverse }}", "cba"),
    row(Filter, "batch", "count, fill?", "Lists of so many elements.", "{{ [1, 2, 3] | batch(2) }}", "[[1,2],[3]]"),
    row(Filter, "slice", "count, fill?", "So many lists of about the same length.", "{{ [1, 2, 3] | slice(2) }}", "[[1,2],[3]]"),
    row(Filter, "map", "…", "A filter or attribute of each element.", "{{ vars.repos | map('upper') | join(' ') }}", "A/B C/D"),
    row(Filter, "select", "…", "The elements that pass a test; `reject` leaves them out.", "{{ [1, 2, 3] | select('odd') }}", "[1,3]"),
    row(Filter, "selectattr", "…", "The elements whose attribute passes a test; also `rejectattr`.", "{{ [{'n': 1}, {'n': 2}] | selectattr('n', 'gt', 1) }}", r#"[{"n":2}]"#),
    row(Filter, "groupby", "…", "Pairs of a value and the elements that have it.", "{{ [{'k': 'a'}, {'k': 'b'}] | groupby('k') | map('first') | join(',') }}", "a,b"),
    row(Filter, "items", "", "The pairs of an object.", "{{ {'a': 1} | items }}", r#"[["a",1]]"#),
    row(Filter, "dictsort", "…", "The pairs of an object, sorted by name.", "{{ {'b': 1, 'a': 2} | dictsort }}", r#"[["a",2],["b",1]]"#),
    row(Filter, "list", "", "The characters or elements as a list.", "{{ 'abc' | list }}", r#"["a","b","c"]"#),
    row(Call, "range", "start_or_end, end?, step?", "Integers up to but without the end.", "{{ range(1, 4) }}", "[1,2,3]"),
    row(Call, "dict", "…", "An object.", "{{ dict(a=1) }}", r#"{"a":1}"#),

    row(Filter, "abs", "", "Without its sign.", "{{ -5 | abs }}", "5"),
    row(Filter, "round", "…", "Rounded to so many digits; a second argument \"ceil\" or \"floor\" says which way.", "{{ 2.345 | round(1) }}", "2.3"),
    row(Filter, "int", "default?", "A text or decimal as an integer.", "{{ '42' | int + 1 }}", "43"),
    row(Filter, "float", "default?", "A text or integer as a decimal.", "{{ '2.5' | float * 2 }}", "5.0"),
    row(Filter, "min", "…", "The least element.", "{{ [page, 2] | min }}", "2"),
    row(Filter, "max", "…", "The greatest element.", "{{ [page, 2] | max }}", "3"),
    row(Filter, "sum", "…", "All elements added.", "{{ [1, 2, 3] | sum }}", "6"),

    row(Filter, "regex_match", "pattern", "Whether a regular expression is found in the text; `^` and `$` bind it to the ends.",
        "{{ 'v2.1' | regex_match('^v[0-9]') }}", "true"),
    row(Filter, "regex_search", "pattern, group?", "What a regular expression finds first, or a group of that; null if nothing.",
        "{{ '/users/42/posts' | regex_search('/users/([0-9]+)', 1) }}", "42"),
    row(Filter, "regex_replace", "pattern, with", "Each match of a regular expression replaced; `$1` is its first group.",
        "{{ '2026-01-02' | regex_replace('([0-9]+)-([0-9]+)-.*', '$2/$1') }}", "01/2026"),

    row(Filter, "md5", "encoding?", "The MD5 hash as \"hex\" (default), \"base64\", \"base64url\" or \"raw\" bytes.",
        "{{ 'abc' | md5 }}", "900150983cd24fb0d6963f7d28e17f72"),
    row(Filter, "sha1", "encoding?", "The SHA-1 hash.",
        "{{ 'abc' | sha1 }}", "a9993e364706816aba3e25717850c26c9cd0d89d"),
    row(Filter, "sha256", "encoding?", "The SHA-256 hash.",
        "{{ 'abc' | sha256('base64') }}", "ungWv48Bz+pBQUDeXa4iI7ADYaOWF3qctBD/YfIAFa0="),
    row(Filter, "sha384", "encoding?", "The SHA-384 hash.",
        "{{ 'abc' | sha384 | length }}", "96"),
    row(Filter, "sha512", "encoding?", "The SHA-512 hash.",
        "{{ 'abc' | sha512('base64url') | length }}", "86"),
    row(Filter, "hmac", "key, algorithm?, encoding?", "Signs a text with a key; sha256 in hex unless said otherwise (md5, sha1, sha256, sha384, sha512).",
        "{{ 'abc' | hmac(secrets.token, 'sha1', 'base64') }}", "vKG58x64+N0SSAyjnuLuZlpfqJ4="),
    row(Filter, "hex", "", "Text or raw bytes as hexadecimal digits.",
        "{{ 'abc' | hex }}", "616263"),
    row(Filter, "hex_decode", "", "The bytes that hexadecimal digits stand for; for hmac, hashes and base64.",
        "{{ 'ff00' | hex_decode | base64 }}", "/wA="),
    row(Filter, "base64", "", "Text or raw bytes as base64.",
        "{{ 'user:pass' | base64 }}", "dXNlcjpwYXNz"),
    row(Filter, "base64url", "", "As base64 for URLs, without padding.",
        "{{ 'a?>' | base64url }}", "YT8-"),
    row(Filter, "base64_decode", "", "What base64 stands for; bytes that are no text are for hmac, hashes and base64 only. Text, whatever its characters (U+10FF00 to U+10FFFF included), passes unchanged.",
        "{{ 'dXNlcjpwYXNz' | base64_decode }}", "user:pass"),
    row(Filter, "urlencode", "", "With everything escaped that a URL's component cannot hold; paths and queries are escaped anyway.",
        "{{ 'a b&c' | urlencode }}", "a%20b%26c"),
    row(Filter, "json", "", "A value as JSON text.",
        "{{ vars.repos | json }}", r#"["a/b","c/d"]"#),
    row(Filter, "from_json", "", "The value that JSON text stands for.",
        r#"{{ ('{"a": [1, 2]}' | from_json).a }}"#, "[1,2]"),
];
