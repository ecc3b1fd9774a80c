//! Addresses that a plan of a server may not reach, as far as its text alone tells. What names resolve to is
//! looked at when a request connects, by whoever sends it: this only says early, and where, what must fail then.

use std::net::IpAddr;

use entities::{Auth, Moment, Place, Secrets, SyncPlan, TemplateText};
use expr::{Globals, Scope, Template};
use serde_json::Map;
use toml::de::DeTable;
use url::{Host, Url};

use crate::diagnostic::Diagnostic;
use crate::findings::Findings;

/// Names of this machine itself, besides those that end in `.localhost` (RFC 6761).
const THIS_MACHINE: [&str; 6] =
    ["localhost", "localhost.localdomain", "localhost4", "localhost6", "ip6-localhost", "ip6-loopback"];

/// An error for each `base_url`, `token_url` and origin of `redirects` whose host is an address, or a name of this
/// machine, that `may_reach` refuses. Names of other machines are not asked about, and `sandbox://` is exempt.
///
/// `may_reach` is given the host as a request would be sent to it, whatever the plan's spelling of it
/// (`0x7f.1`, `127.1`, `2130706433`, `[::ffff:127.0.0.1]` are all `127.0.0.1`; `LOCALHOST.` is `localhost`; IPv6
/// has no brackets), and its port. A name of this machine may be reached if it is allowed itself, or as
/// `127.0.0.1` or `::1`: `may_reach` need only know addresses, and the names that were allowed.
///
/// Call it with a plan that [`load`](crate::load) gave; the places are those of its `source`:
///
/// ```
/// # use entities::SyncPlan;
/// # use plan::Diagnostics;
/// fn refuse(plan: &SyncPlan, may_reach: &dyn Fn(&str, Option<u16>) -> bool) -> Result<(), Diagnostics> {
///     let list = plan::private_addresses(plan, may_reach);
///     if list.is_empty() { Ok(()) } else { Err(Diagnostics { source: plan.source.clone(), list }) }
/// }
/// ```
pub fn private_addresses(plan: &SyncPlan, may_reach: &dyn Fn(&str, Option<u16>) -> bool) -> Vec<Diagnostic> {
    let globals = Globals::new(&plan.vars, &Secrets::default(), Moment(0));
    let mut refused = Vec::new();
    let mut check = |what: &str, url: &str, at: Place| {
        if let Some(found) = refusal(what, url, at, may_reach) {
            refused.push(found);
        }
    };
    for endpoint in &plan.endpoints {
        check("`base_url`", &evaluated(&endpoint.base_url, &globals), endpoint.base_url.at);
    }
    let of_tasks = plan.tasks.iter().filter_map(|task| task.auth.as_ref());
    for auth in plan.endpoints.iter().map(|endpoint| &endpoint.auth).chain(of_tasks) {
        if let Auth::OAuth2(oauth2) = auth {
            check("`token_url`", &evaluated(&oauth2.token_url, &globals), oauth2.token_url.at);
        }
    }
    for (origin, at) in redirects(plan) {
        check("`redirects`", &origin, at);
    }
    refused.sort_by_key(|diagnostic| (diagnostic.place.start, diagnostic.place.end));
    refused
}

fn refusal(
    what: &str,
    url: &str,
    at: Place,
    may_reach: &dyn Fn(&str, Option<u16>) -> bool,
) -> Option<Diagnostic> {
    let url = Url::parse(url).ok().filter(|url| matches!(url.scheme(), "http" | "https"))?;
    let port = url.port_or_known_default();
    let (host, kind, reached) = match url.host()? {
        Host::Ipv4(address) => address_of(IpAddr::V4(address), port, may_reach),
        Host::Ipv6(address) => address_of(IpAddr::V6(address), port, may_reach),
        Host::Domain(name) => {
            let name = name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase();
            if !is_this_machine(&name) {
                return None;
            }
            let reached = [name.as_str(), "127.0.0.1", "::1"].iter().any(|host| may_reach(host, port));
            (name, "this machine", reached)
        }
    };
    if reached {
        return None;
    }
    let diagnostic =
        Diagnostic::error("private-address", at, format!("{what} is at `{host}`, which plans of this server may not reach"))
            .label(format!("{kind}, not a public address"))
            .help(format!(
                "use a public address, or let whoever runs the server start it with `syncctl serve --allow-private {host}`"
            ));
    Some(diagnostic)
}

fn address_of(
    address: IpAddr,
    port: Option<u16>,
    may_reach: &dyn Fn(&str, Option<u16>) -> bool,
) -> (String, &'static str, bool) {
    // `::ffff:10.0.0.1` is sent to 10.0.0.1.
    let address = address.to_canonical();
    let host = address.to_string();
    let reached = may_reach(&host, port);
    let this = address.is_loopback() || address.is_unspecified();
    (host, if this { "this machine" } else { "a private or special address" }, reached)
}

fn is_this_machine(name: &str) -> bool {
    THIS_MACHINE.contains(&name) || name.ends_with(".localhost")
}

/// The URL with the plan's variables in it. Where it needs more than those (a secret, a `foreach` name), as much of
/// it as is plain text and holds the whole host; else nothing.
fn evaluated(text: &TemplateText, globals: &Globals) -> String {
    let bindings = Map::new();
    let scope = Scope { globals, bindings: &bindings, cursor: None, record: None, page: None };
    if let Ok(url) = Template::compile(text).and_then(|template| template.render(&scope)) {
        return url;
    }
    let source: &str = &text.source;
    let literal =
        source.find("{{").into_iter().chain(source.find("{%")).min().map_or(source, |at| &source[..at]);
    let authority =
        literal.split_once("://").map_or("", |(_, behind)| behind.trim_start_matches(['/', '\\']));
    if authority.contains(['/', '\\', '?', '#']) { literal.to_owned() } else { String::new() }
}

/// The origins that tasks follow redirects to, and where each stands: the plan keeps no place for them, its text does.
fn redirects(plan: &SyncPlan) -> Vec<(String, Place)> {
    let findings = Findings::new(plan.source.clone());
    let mut origins = Vec::new();
    let Ok(table) = DeTable::parse(&plan.source.text) else { return origins };
    let tasks = table.get_ref().get("tasks").and_then(|tasks| tasks.get_ref().as_table());
    for (_, task) in tasks.into_iter().flatten() {
        let Some(list) = task.get_ref().get("redirects").and_then(|list| list.get_ref().as_array()) else {
            continue;
        };
        for item in list.iter() {
            if let Some(origin) = item.get_ref().as_str() {
                origins.push((origin.to_owned(), findings.place(item.span())));
            }
        }
    }
    origins
}
