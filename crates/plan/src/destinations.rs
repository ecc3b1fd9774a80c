//! Where a plan's requests can go: what tells whether an edit sends them, and the secrets with them, elsewhere.

use std::collections::BTreeMap;

use toml::Spanned;
use toml::de::{DeTable, DeValue};
use url::Url;

use crate::connection;

/// Keys whose strings say where requests go, whether or not they are whole URLs.
const ADDRESSES: [&str; 4] = ["base_url", "token_url", "redirects", "postgres"];

/// Each place that a plan's text names as one where requests could go, and the string that names it first. Whoever
/// sends them keeps to the origins of `base_url`, `token_url` and `redirects`, and to the server of the store; whatever else looks like a URL
/// counts all the same. Where a host is put together from variables or secrets, those count as well.
pub(crate) fn destinations(plan: &DeTable<'_>) -> BTreeMap<String, std::ops::Range<usize>> {
    let mut found = Found { destinations: BTreeMap::new(), plan };
    found.table("", plan);
    found.destinations
}

struct Found<'p> {
    destinations: BTreeMap<String, std::ops::Range<usize>>,
    plan: &'p DeTable<'p>,
}

impl Found<'_> {
    fn table(&mut self, section: &str, table: &DeTable<'_>) {
        for (key, value) in table.iter() {
            let key: &str = key.get_ref();
            // What a plan is for may name a page about it.
            if !(section == "plan" && key == "description") {
                self.value(key, value);
            }
        }
    }

    fn value(&mut self, key: &str, value: &Spanned<DeValue<'_>>) {
        match value.get_ref() {
            DeValue::String(text) => self.text(key, text, value.span()),
            DeValue::Array(items) => items.iter().for_each(|item| self.value(key, item)),
            DeValue::Table(table) => self.table(key, table),
            _ => {}
        }
    }

    fn text(&mut self, key: &str, text: &str, at: std::ops::Range<usize>) {
        if key == "postgres"
            && let Some(leads_to) = connection::destination(text)
        {
            if leads_to.contains("{{") || leads_to.contains("{%") {
                self.add(format!("{leads_to}, with {}", self.parts(&leads_to)), at.clone());
            }
            return self.add(format!("postgres {leads_to}"), at);
        }
        let is_address = ADDRESSES.contains(&key) && !matches!(text, "none" | "same-origin");
        // A path is below `base_url`; one that begins with a template may be anything.
        let below = text.starts_with('/') && !text[1..].starts_with(['/', '\\']);
        if !(text.contains("://") || (is_address && !below)) {
            return;
        }
        let template = text.contains("{{") || text.contains("{%");
        match Url::parse(text) {
            Ok(url) if !template && text.find("://") == text.rfind("://") => {
                let port = url.port_or_known_default().map(|port| format!(":{port}")).unwrap_or_default();
                let host = url.host_str().unwrap_or("").trim_end_matches('.').to_ascii_lowercase();
                self.add(format!("{}://{host}{port}", url.scheme()), at);
            }
            _ => {
                // Its path may change, as far as it surely is one.
                let host = text.find("://").map_or(0, |scheme| scheme + 3);
                let end = text[host..].find(['/', '?', '#', '\\']).map_or(text.len(), |end| host + end);
                let braces = text[..end].matches("{{").count() == text[..end].matches("}}").count();
                let one = text.matches("://").count() == 1;
                let whole = if one && braces && !text[..end].contains("{%") { &text[..end] } else { text };
                self.add(whole.to_owned(), at.clone());
                if template {
                    self.add(format!("{whole}, with {}", self.parts(whole)), at);
                }
            }
        }
    }

    /// What may be a part of a host that a template puts together: the variables and secrets it names.
    fn parts(&self, template: &str) -> String {
        let mut parts = String::new();
        for section in ["vars", "secrets"].into_iter().filter(|section| template.contains(section)) {
            let table = self.plan.get(section).and_then(|section| section.get_ref().as_table());
            for (name, value) in table.into_iter().flatten() {
                if template.contains(&**name.get_ref()) {
                    parts.push_str(&format!("{section}.{} = {} ", name.get_ref(), said(value.get_ref())));
                }
            }
        }
        parts
    }

    fn add(&mut self, destination: String, at: std::ops::Range<usize>) {
        let first = self.destinations.entry(destination).or_insert_with(|| at.clone());
        if at.start < first.start {
            *first = at;
        }
    }
}

/// A value as text, without its places and with its keys in order.
fn said(value: &DeValue<'_>) -> String {
    match value {
        DeValue::String(text) => format!("{text:?}"),
        DeValue::Integer(number) => format!("{}r{}", number.as_str(), number.radix()),
        DeValue::Float(number) => number.as_str().to_owned(),
        DeValue::Boolean(value) => value.to_string(),
        DeValue::Datetime(at) => at.to_string(),
        DeValue::Array(items) => items.iter().map(|item| said(item.get_ref()) + ",").collect(),
        DeValue::Table(table) => {
            let entries: BTreeMap<&str, String> =
                table.iter().map(|(key, value)| (&**key.get_ref(), said(value.get_ref()))).collect();
            format!("{entries:?}")
        }
    }
}
