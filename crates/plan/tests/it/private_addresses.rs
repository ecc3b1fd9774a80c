//! Hosts that a plan of a server may not name, in every spelling that a URL has for them.

use std::net::IpAddr;

use plan::{Diagnostic, load, private_addresses};

use crate::World;

fn refused(endpoint: &str, task: &str, may_reach: &dyn Fn(&str, Option<u16>) -> bool) -> Vec<Diagnostic> {
    let text = format!(
        "[plan]\nname = \"p\"\n[vars]\nhost = \"10.1.2.3\"\nport = 8080\n[secrets]\nkey = {{ env = \"SET\" }}\n[endpoints.a]\n{endpoint}\n[tasks.t]\nget = \"/x\"\n{task}\n"
    );
    let loaded = load("p.toml", &text, &World, &[]).unwrap_or_else(|found| panic!("{}", found.render(false)));
    let refused = private_addresses(&loaded.plan, may_reach);
    for diagnostic in &refused {
        let (start, end) = (diagnostic.place.start as usize, diagnostic.place.end as usize);
        assert!(text[start..end].starts_with('"'), "{}", &text[start..end]);
    }
    refused
}

/// What a server that allows nothing would say: no address of ours, and no name at all.
fn public(host: &str, _: Option<u16>) -> bool {
    match host.parse::<IpAddr>() {
        Ok(IpAddr::V4(address)) => {
            !(address.is_loopback()
                || address.is_private()
                || address.is_link_local()
                || address.is_unspecified())
        }
        Ok(IpAddr::V6(address)) => address.segments()[0] & 0xe000 == 0x2000,
        Err(_) => false,
    }
}

#[test]
fn every_spelling_of_a_host_is_known() {
    let check = |authority: &str, host: &str| {
        let found = refused(&format!("base_url = \"http://{authority}/v1\""), "", &public);
        let [found] = found.as_slice() else { panic!("{authority}: {found:?}") };
        assert_eq!(found.code, "private-address");
        assert!(found.message.contains(&format!("`{host}`")), "{authority}: {}", found.message);
        let help = found.help.as_deref().unwrap();
        assert!(help.ends_with(&format!("`syncctl serve --allow-private {host}`")), "{authority}: {help}");
        assert_eq!((found.place.line, found.place.column), (9, 12));
    };
    for spelling in [
        "127.0.0.1",
        "127.0.0.1:8080",
        "127.0.0.1.",
        "127.1",
        "127.0.1",
        "2130706433",
        "017700000001",
        "0x7f000001",
        "0x7f.1",
        "0X7F.0x0.0.01",
        "0177.0.0.1",
        "00000177.1",
        "１２７.０.０.１",
        "127。0。0。1",
        "127\u{FF0E}0\u{FF0E}0\u{FF0E}1",
        "%31%32%37.0.0.1",
        "①②⑦.⓪.⓪.①",
        "[::ffff:127.0.0.1]",
        "[::ffff:7f00:1]",
        "[0:0:0:0:0:FFFF:127.0.0.1]",
        "127.0\\t.0.1",
    ] {
        check(spelling, "127.0.0.1");
    }
    for spelling in [
        "localhost",
        "LOCALHOST",
        "localhost.",
        "LocalHost:3000",
        "ｌocalhost",
        "%6cocalhost",
        "l\u{AD}ocalhost",
    ] {
        check(spelling, "localhost");
    }
    for (spelling, host) in [
        ("[::1]", "::1"),
        ("[0:0:0:0:0:0:0:1]", "::1"),
        ("[::0001]:80", "::1"),
        ("[::]", "::"),
        ("0", "0.0.0.0"),
        ("0.0.0.0", "0.0.0.0"),
        ("169.254.169.254", "169.254.169.254"),
        ("2852039166", "169.254.169.254"),
        ("0xa9fea9fe", "169.254.169.254"),
        ("[::ffff:a9fe:a9fe]", "169.254.169.254"),
        ("10.0.0.1", "10.0.0.1"),
        ("192.168.1", "192.168.0.1"),
        ("172.16.0.1", "172.16.0.1"),
        ("[fe80::1]", "fe80::1"),
        ("[FD00:0::1]", "fd00::1"),
        ("api.localhost", "api.localhost"),
        ("API.LocalHost.", "api.localhost"),
        ("localhost.localdomain", "localhost.localdomain"),
        ("ip6-localhost", "ip6-localhost"),
    ] {
        check(spelling, host);
    }
}

#[test]
fn other_hosts_are_not_asked_about() {
    let check = |base_url: &str| {
        let found = refused(&format!("base_url = \"{base_url}\""), "", &public);
        assert!(found.is_empty(), "{base_url}: {found:?}");
    };
    for base_url in [
        "https://api.example.com",
        "https://8.8.8.8/v1",
        "https://[2606:4700::1111]",
        "https://localhost.example.com",
        "https://mylocalhost",
        // What they resolve to is looked at when a request connects.
        "https://intranet",
        "https://127.0.0.1.nip.io",
        "https://127.0.0.1.example/127.0.0.1?",
        "sandbox://market",
    ]
    .map(|url| url.trim_end_matches('?'))
    {
        check(base_url);
    }
}

#[test]
fn the_owner_allows_by_host_and_port() {
    let check = |base_url: &str, allowed: (&str, Option<u16>), refused_hosts: usize| {
        let may_reach =
            |host: &str, port: Option<u16>| host == allowed.0 && (allowed.1.is_none() || allowed.1 == port);
        let found = refused(&format!("base_url = \"{base_url}\""), "", &may_reach);
        assert_eq!(found.len(), refused_hosts, "{base_url} with {allowed:?}: {found:?}");
    };
    check("http://10.0.0.1", ("10.0.0.1", None), 0);
    check("http://10.1", ("10.0.0.1", Some(80)), 0);
    check("https://10.1", ("10.0.0.1", Some(443)), 0);
    check("http://10.1:8080", ("10.0.0.1", Some(8080)), 0);
    check("http://10.1:8080", ("10.0.0.1", Some(80)), 1);
    check("http://[::FFFF:10.0.0.1]", ("10.0.0.1", None), 0);
    check("http://[0::1]", ("::1", None), 0);
    check("http://LOCALHOST.", ("localhost", None), 0);
    check("http://localhost", ("127.0.0.1", None), 0);
    check("http://localhost", ("::1", None), 0);
    check("http://localhost", ("10.0.0.1", None), 1);
    check("http://127.0.0.1", ("localhost", None), 1);
}

#[test]
fn every_url_of_a_plan_is_looked_at() {
    let check = |endpoint: &str, task: &str, lines: &[u32]| {
        let found = refused(endpoint, task, &public);
        let at: Vec<u32> = found.iter().map(|diagnostic| diagnostic.place.line).collect();
        assert_eq!(at, lines, "{endpoint}\n{task}\n{found:?}");
    };
    let base = "base_url = \"https://x.example\"";
    // With what the plan's variables say …
    check("base_url = \"http://{{ vars.host }}:{{ vars.port }}/v1\"", "", &[9]);
    check("base_url = \"http://{{ '127' }}.0.0.1\"", "", &[9]);
    check(
        "base_url = \"{% if vars.port == 8080 %}http://localhost{% else %}https://x.example{% endif %}\"",
        "",
        &[9],
    );
    // … and what is plain before a secret.
    check("base_url = \"http://127.0.0.1/{{ secrets.key }}\"", "", &[9]);
    check("base_url = \"http://127.{{ secrets.key }}\"", "", &[]);
    let oauth2 = |url: &str| {
        format!(
            "auth = {{ oauth2 = {{ grant = \"client_credentials\", client_id = \"i\", client_secret = \"{{{{ secrets.key }}}}\", token_url = \"{url}\" }} }}"
        )
    };
    check(&format!("{base}\n{}", oauth2("http://127.0.0.1/token")), "", &[10]);
    check(&format!("{base}\n{}", oauth2("http://{{ vars.host }}/{{ secrets.key }}")), "", &[]);
    check(&format!("{base}\n{}", oauth2("/token")), "", &[]);
    check(&format!("{base}\n{}", oauth2("https://auth.example/token")), "", &[]);
    check(base, &oauth2("http://localhost/token"), &[12]);
    check(base, "redirects = [\"https://x.example\", \"http://[::1]:80\", \"http://10.1\"]", &[12, 12]);
    check(base, "redirects = \"same-origin\"", &[]);
    check("base_url = \"http://10.1\"", &oauth2("http://10.2/t"), &[9, 12]);
}

#[test]
fn it_reads_well() {
    let text = "[plan]\nname = \"p\"\n[endpoints.a]\nbase_url = \"http://2130706433:9200\"\n[tasks.t]\nget = \"/x\"\n";
    let plan = load("p.toml", text, &World, &[]).unwrap().plan;
    let list = private_addresses(&plan, &public);
    let found = plan::Diagnostics { source: plan.source, list };
    insta::assert_snapshot!(found.render(false), @r#"
error[private-address]: `base_url` is at `127.0.0.1`, which plans of this server may not reach
 --> p.toml:4:12
  |
4 | base_url = "http://2130706433:9200"
  |            ^^^^^^^^^^^^^^^^^^^^^^^^ this machine, not a public address
  |
  = help: use a public address, or let whoever runs the server start it with `syncctl serve --allow-private 127.0.0.1`

error: `p.toml` has 1 error
"#);
}
