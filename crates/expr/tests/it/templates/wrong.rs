//! What is wrong with a template, when it is known, and where it points.

use super::{compile, render};

const LONG: &str =
    "a number has more digits than can be calculated with; pass it on as it is, or shorten its text first";

#[test]
fn errors_name_the_thing_and_the_way_out() {
    for (source, expected) in [
        ("{{ symbl }}", "`symbl` is not defined; did you mean `symbol`?"),
        ("{{ since }}", "`since` is not defined; did you mean `vars.since`?"),
        ("{{ vars.sinze }}", "`vars.sinze` is not defined; did you mean `vars.since`?"),
        ("{{ vars.sinze | lower }}", "`vars.sinze` is not defined; did you mean `vars.since`?"),
        ("a {{ (vars.sinze) }}", "`vars.sinze` is not defined; did you mean `vars.since`?"),
        ("{{ vars.n.x }}", "`vars.n.x` is not defined: `vars.n` is a single value"),
        // The name that is meant, not the first that has no value.
        ("{{ vars.aaa | default(1) ~ vars.bbb }}", "`vars.bbb` is not defined"),
        ("{{ vars.bbb ~ (vars.aaa | default(1)) }}", "`vars.bbb` is not defined"),
        ("{{ vars.aaa | default(1) }}{{ vars.bbb | upper }}", "`vars.bbb` is not defined"),
        ("{{ vars.aaa | default(vars.bbb) | upper }}", "`vars.bbb` is not defined"),
        ("{{ vars.n + vars.bbb }}", "`vars.bbb` is not defined"),
        ("{{ vars.bbb * 2 + vars.aaa | default(3) }}", "`vars.bbb` is not defined"),
        ("{{ vars.bbb < 2 or vars.aaa is defined }}", "`vars.bbb` is not defined"),
        ("{{ -vars.bbb }}", "`vars.bbb` is not defined"),
        ("{% if vars.aaa is defined or vars.bbb %}x{% endif %}", "`vars.bbb` is not defined"),
        ("{% for x in [vars.table] %}{{ x.bbb }}{% endfor %}", "`x.bbb` is not defined"),
        ("{{ [vars.since, vars.bbb] | join('-') }}", "`vars.bbb` is not defined"),
        ("{{ [vars.since, vars.none] | join('-') }}", "an element to join is null; text needs a value"),
        ("{{ vars.bbb.c.d | upper }}", "`vars.bbb` is not defined"),
        // A default does not cover a first name that is mistyped.
        ("{{ recrod.a.b | default('x') }}", "`recrod` is not defined; did you mean `record`?"),
        ("{{ recrod.a | default('x') }}", "`recrod` is not defined; did you mean `record`?"),
        ("{{ (record.aaa.b) | default('x') }}", "`record.aaa` is not defined"),
        // What has no name is shown as it stands there.
        ("{{ vars.list[9] }}", "`vars.list[9]` is undefined"),
        ("{{ vars['zzz'] }}", "`vars['zzz']` is undefined"),
        ("{{- [] | first -}}", "`[] | first` is undefined"),
        ("{{ 'a' if vars.n > 50 }}", "`'a' if vars.n > 50` is undefined"),
        ("{{ (vars.list | first).zz }}", "`(vars.list | first).zz` is undefined"),
        ("€{{ [] | first }}", "a value in `[] | first` is undefined"),
        ("€ {{ vars.n }} {{ [] | first | upper }} {{ 1 }}", "a value in `[] | first | upper` is undefined"),
        ("{{ 'abc'[9] | upper }}", "a value in `'abc'[9] | upper` is undefined"),
        ("x{{ {'a': 1}.b }}", "a value in `{'a': 1}.b` is undefined"),
        ("{{ vars.list[9] | json }}", "a value in `vars.list[9] | json` is undefined"),
        ("{{ vars.list[9] | md5 }}", "a value in `vars.list[9] | md5` is undefined"),
        ("{{ [[] | first] }}", "a value in `[[] | first]` is undefined"),
        ("{{ duration(vars.list[9]) }}", "a value in `duration(vars.list[9])` is undefined"),
        ("{{ vars.n > vars.list[9] }}", "a value in `vars.n > vars.list[9]` is undefined"),
        ("€{% if vars.n > vars.list[9] %}x{% endif %}", "a value in `if vars.n > vars.list[9]` is undefined"),
        (
            "{{ vars.list | map(attribute='zzz') | join(',') }}",
            "a value in `vars.list | map(attribute='zzz') | join(',')` is undefined",
        ),
        ("{{ vars.list * 3 }}", "a list cannot be repeated"),
        (
            "{{ [vars.decimal] < [1] }}",
            "a list or object that holds a number of many digits cannot be compared; compare its elements",
        ),
        ("{{ 1 < page in [3] }}", "`in` cannot be chained to a comparison"),
        ("{{ page | _exact }}", "there is no filter `_exact`"),
        ("x{{ vars.none }}", "`vars.none` is null; text needs a value"),
        ("{{ vars.none }}", "`vars.none` is null; text needs a value"),
        ("x{{ (vars.none) }}", "a value is null; text needs a value"),
        (
            "{{ 'x' | epoch }}",
            "`x` is not a date; dates are RFC 3339, YYYY-MM-DD or epoch numbers (parse_date reads others)",
        ),
        ("{{ now - duration('x') }}", "`x` is not a duration; write it like \"90s\", \"7d\" or \"1 month\""),
        (
            "{{ 'x' | hmac('k', 'md4') }}",
            "hmac knows no algorithm `md4`; it knows md5, sha1, sha256, sha384 and sha512",
        ),
        (
            "{% for x in range(9000) %}{% for y in range(9000) %}.{% endfor %}{% endfor %}",
            "the template takes more than 50000 steps (64 bytes of text are one); shorten its loops and texts",
        ),
        ("{{ vars.decimal + 1 }}", LONG),
        ("{{ vars.decimal | round(2) }}", LONG),
        ("{{ vars.decimal | float }}", LONG),
        ("{{ '0.12345678901234567890' | float }}", LONG),
        ("{{ '12345678901234567890.5' | int }}", LONG),
        ("{{ -vars.huge }}", "a sign stands before what cannot be calculated with"),
        (
            "{{ 'ff' | hex_decode }}",
            "`{{ 'ff' | hex_decode }}`: raw bytes cannot stand here; write them as text with `| base64` or `| hex`",
        ),
        (
            "x{{ 'ff' | hex_decode }}",
            "`x{{ 'ff' | hex_decode }}`: raw bytes cannot stand here; write them as text with `| base64` or `| hex`",
        ),
        (
            "{{ 'ff' | hex_decode | urlencode }}",
            "raw bytes cannot stand here; write them as text with `| base64` or `| hex`",
        ),
        (
            "{{ ['ff' | hex_decode] | json }}",
            "raw bytes cannot stand here; write them as text with `| base64` or `| hex`",
        ),
        ("{{ 'x!' | base64_decode }}", "the text to decode is not base64"),
        (
            "{{ 'abc' | sha256('hxe') }}",
            "there is no encoding `hxe`; there are \"hex\", \"base64\", \"base64url\" and \"raw\"",
        ),
        (
            "{{ now | date('%Y', 'Asia/Shangai') }}",
            "there is no time zone `Asia/Shangai`; zones are like \"Asia/Shanghai\" or \"+08:00\"",
        ),
        ("{{ 'x' | from_json }}", "from_json: the text is not JSON: expected value at line 1 column 1"),
        ("{{ signature }}", "`signature` is only bound in `headers` and `query` of hmac"),
        ("{{ (vars.none) + 1 }}", "tried to use + operator on unsupported types none and number"),
        ("{{ 'x' * 2000000 }}", "the template writes more than 1048576 bytes"),
    ] {
        assert_eq!(render(source).unwrap_err(), expected, "{source}");
    }
}

#[test]
fn compile_errors_point_into_the_source() {
    for (source, part) in [("ab {{ x | nofilter }}", "nofilter"), ("é {{ x y }}", "y"), ("{% if %}", "%}")] {
        let error = compile(source).expect_err(source);
        let at = error.at.clone().unwrap_or_else(|| panic!("no range for {source}: {error}"));
        assert!(source[at.clone()].contains(part), "{source}: {error} at {:?}", &source[at]);
    }
}

#[test]
fn what_cannot_work_is_known_before_it_runs() {
    for (source, part, message, help) in [
        ("{{ x | dat('%Y') }}", "dat", "there is no filter `dat`", "did you mean `date`?"),
        ("{{ x | strftime('%Y') }}", "strftime", "there is no filter `strftime`", "did you mean `date`?"),
        (
            "{{ x is startswit('a') }}",
            "startswit",
            "there is no test `startswit`",
            "did you mean `startswith`?",
        ),
        (
            "{{ x is not upper and x is regex_match('a') }}",
            "regex_match",
            "there is no test `regex_match`",
            "`regex_match` is a filter: write x | regex_match",
        ),
        (
            "é {{ x | startswith('a') }}",
            "startswith",
            "there is no filter `startswith`",
            "`startswith` is a test: write x is startswith",
        ),
        ("{{ now | date }}", "date", "missing argument", "it is written date(format, zone?)"),
        ("{{ now | date() | lower }}", "date", "missing argument", "it is written date(format, zone?)"),
        ("{{ x | hmac }}", "hmac", "missing argument", "it is written hmac(key, algorithm?, encoding?)"),
        ("{{ x | epoch('ms') }}", "epoch", "too many arguments", "it is written epoch"),
        ("{{ x | replace('(,') }}", "replace", "missing argument", "it is written replace(from, to, count?)"),
        ("{{ now - duration() }}", "sub", "missing argument", "it is written sub(length)"),
        ("{{ range() }}", "range", "missing argument", "it is written range(start_or_end, end?, step?)"),
        ("{{ x | regex_match('(a') }}", "'(a'", "`(a` is not a regular expression: unclosed group", ""),
        (
            "{{ x | regex_replace('[0-9', vars.y) }}",
            "'[0-9', vars.y",
            "`[0-9` is not a regular expression: unclosed character class",
            "",
        ),
        ("{{ x | date('%Q!', zone) }}", "", "", ""),
        (
            "{{ x | sha256('hxe') }}",
            "'hxe'",
            "there is no encoding `hxe`; there are \"hex\", \"base64\", \"base64url\" and \"raw\"",
            "",
        ),
        (
            "{{ x | hmac(secrets.k, 'sha255') }}",
            "secrets.k, 'sha255'",
            "hmac knows no algorithm `sha255`; it knows md5, sha1, sha256, sha384 and sha512",
            "",
        ),
        (
            "{{ x - duration('7 dogs') }}",
            "'7 dogs'",
            "`7 dogs` is not a duration; write it like \"90s\", \"7d\" or \"1 month\"",
            "",
        ),
        (
            "{{ duration('7 dogs') }}",
            "'7 dogs'",
            "`7 dogs` is not a duration; write it like \"90s\", \"7d\" or \"1 month\"",
            "",
        ),
        (
            "{{ a + b - duration('1d') }}",
            "- duration",
            "what stands before `- duration(…)` needs parentheses",
            "write it like (a + b) - duration(\"7d\")",
        ),
        (
            "{{ now - duration('1d') * 3 }}",
            "- duration('1d'",
            "a duration cannot be calculated with here",
            "write the whole length: duration(\"3d\")",
        ),
        (
            "{{ x | regex_match('(((a{50}){50}){50})') }}",
            "'(((a{50}){50}){50})'",
            "the regular expression `(((a{50}){50}){50})` repeats too much: it takes more than 256 KiB",
            "",
        ),
    ] {
        match compile(source) {
            Ok(_) => assert_eq!(message, "", "{source} compiles"),
            Err(error) => {
                assert_eq!(
                    (error.message.as_str(), error.help.as_deref().unwrap_or("")),
                    (message, help),
                    "{source}"
                );
                let at = error.at.clone().unwrap_or_else(|| panic!("no range for {source}: {error}"));
                // Durations are rewritten to filters of the same length.
                let shown = if part == "sub" { at.len() == 3 } else { &source[at] == part };
                assert!(shown, "{source}: {error:?}");
            }
        }
    }
    // What looks alike but is right.
    for source in [
        "{{ x | sort(reverse=true) }}",
        "{{ x | round(method='floor') }}",
        "{{ x | replace(',', ';',) }}",
        "{{ 'x | nofilter' }} x is nothing",
        "{{ x | default(y | first) }}",
        "{{ (a + b) - duration('1d') }}",
        "{{ x == 1 and now - duration('1d') < y }}",
        "{{ [a + 1, now - duration('1d')] }}",
        "{{ x[0] * 2 + y['a'][1] * z[x[1]] * 3 }}",
        "{{ x.is }} {{ 1 if x is odd else now - duration('1d') }}",
        "{{ 'a-b' ~ (now - duration('1d')) }}",
        "a - b {{ now - duration('1d') }}",
        "{{ x }}-{{ now - duration('1d') }}",
        "{{ x['a-b'] - duration('1d') }}",
        "{%- if x is defined %}{{ now-duration('1d') }}{% endif %}",
    ] {
        assert_eq!(compile(source).err(), None, "{source}");
    }
}
