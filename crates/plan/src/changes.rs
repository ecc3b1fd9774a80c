//! What changed between two texts of a plan, for people: by path, and never a value.

use std::collections::BTreeMap;

use entities::SyncPlan;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// More than anyone reads.
const MOST: usize = 50;

/// Tables in which the order means something: of requests, of columns, of what is repeated.
const ORDERED: [&str; 5] = ["foreach", "query", "form", "json", "fields"];

/// What changed from the text `old` to `new`, both TOML: "added [tasks.fills]", "changed `limits` of
/// [endpoints.api]", "removed `[schedule]`". In the order of the new text, what was removed last; at most 50, then
/// "… and N more". Empty: the two say the same, though comments and spelling may differ. No value is in it.
///
/// Give it the texts with their secrets in them (see [`with_held_secrets`](crate::with_held_secrets)): one that
/// was replaced is a change too.
pub fn changes(old: &str, new: &str) -> Vec<String> {
    let (Ok(old), Ok(new)) = (DeTable::parse(old), DeTable::parse(new)) else { return Vec::new() };
    let mut found = Changes::default();
    found.sections(old.get_ref(), new.get_ref());
    found.told()
}

/// The tasks of `new` that were in `old` too and whose requests or records are others now: an unfinished run
/// starts them over.
pub fn starts_over(old: &SyncPlan, new: &SyncPlan) -> Vec<String> {
    let before: BTreeMap<&str, &str> =
        old.tasks.iter().map(|task| (task.name.as_str(), task.fingerprint.as_str())).collect();
    new.tasks
        .iter()
        .filter(|task| before.get(task.name.as_str()).is_some_and(|before| *before != task.fingerprint))
        .map(|task| task.name.clone())
        .collect()
}

/// What was found, each with where it stands.
#[derive(Default)]
struct Changes {
    /// In the new text.
    now: Vec<(usize, String)>,
    /// In the old text.
    gone: Vec<(usize, String)>,
}

/// Where a table stands: its section, and the keys below that lead to it.
#[derive(Clone, Copy)]
struct At<'a> {
    section: &'a str,
    keys: &'a str,
}

impl At<'_> {
    fn key(self, key: &str) -> String {
        if self.keys.is_empty() { shown(key) } else { format!("{}.{}", self.keys, shown(key)) }
    }
}

impl Changes {
    /// The plan's top level; `[endpoints.NAME]` and `[tasks.NAME]` are sections of their own.
    fn sections(&mut self, old: &DeTable<'_>, new: &DeTable<'_>) {
        self.tables("", old, new, &mut |changes, name, old, new| {
            if matches!(name, "endpoints" | "tasks") {
                let header = format!("{name}.");
                changes.tables(&header, old, new, &mut |changes, name, old, new| {
                    changes.keys(At { section: &format!("[{header}{}]", shown(name)), keys: "" }, old, new);
                });
            } else {
                changes.keys(At { section: &format!("[{}]", shown(name)), keys: "" }, old, new);
            }
        });
    }

    /// Sections that came and went; `both` looks into one that stayed.
    fn tables(
        &mut self,
        header: &str,
        old: &DeTable<'_>,
        new: &DeTable<'_>,
        both: &mut dyn FnMut(&mut Changes, &str, &DeTable<'_>, &DeTable<'_>),
    ) {
        for (name, item) in new.iter() {
            let title = format!("[{header}{}]", shown(name.get_ref()));
            match old.get(&**name.get_ref()).map(Spanned::get_ref) {
                None => self.now.push((name.span().start, format!("added {title}"))),
                Some(before) => match (before, item.get_ref()) {
                    (DeValue::Table(before), DeValue::Table(now)) => both(self, name.get_ref(), before, now),
                    (before, now) if same(before, now, false) => {}
                    _ => self.now.push((name.span().start, format!("changed {title}"))),
                },
            }
        }
        for (name, _) in old.iter().filter(|(name, _)| !new.contains_key(&**name.get_ref())) {
            let title = format!("[{header}{}]", shown(name.get_ref()));
            self.gone.push((name.span().start, format!("removed {title}")));
        }
    }

    /// The keys of one table of a section.
    fn keys(&mut self, at: At<'_>, old: &DeTable<'_>, new: &DeTable<'_>) {
        let section = at.section;
        let below = at.keys.split('.').next().filter(|first| !first.is_empty());
        for (name, item) in new.iter() {
            let key = at.key(name.get_ref());
            match old.get(&**name.get_ref()).map(Spanned::get_ref) {
                None => self.now.push((name.span().start, format!("added `{key}` to {section}"))),
                Some(before) => match (before, item.get_ref()) {
                    (DeValue::Table(before), DeValue::Table(now)) => {
                        self.keys(At { section, keys: &key }, before, now);
                    }
                    (before, now) if same(before, now, is_ordered(below.unwrap_or(&key))) => {}
                    _ => self.now.push((name.span().start, format!("changed `{key}` of {section}"))),
                },
            }
        }
        for (name, _) in old.iter().filter(|(name, _)| !new.contains_key(&**name.get_ref())) {
            let key = at.key(name.get_ref());
            self.gone.push((name.span().start, format!("removed `{key}` from {section}")));
        }
        if below.is_some_and(is_ordered) && order(old, new) != order(new, old) {
            let start = new.iter().map(|(name, _)| name.span().start).min().unwrap_or(0);
            self.now.push((start, format!("changed the order of `{}` of {section}", at.keys)));
        }
    }

    fn told(mut self) -> Vec<String> {
        self.now.sort_by_key(|(start, _)| *start);
        self.gone.sort_by_key(|(start, _)| *start);
        let all: Vec<String> = self.now.into_iter().chain(self.gone).map(|(_, text)| text).collect();
        let more = all.len().saturating_sub(MOST);
        let mut told: Vec<String> = all.into_iter().take(MOST).collect();
        if more > 0 {
            told.push(format!("… and {more} more"));
        }
        told
    }
}

fn is_ordered(key: &str) -> bool {
    ORDERED.contains(&key)
}

/// The keys that `of` shares with `other`, as its text orders them.
fn order<'t>(of: &'t DeTable<'_>, other: &DeTable<'_>) -> Vec<&'t str> {
    let mut keys: Vec<_> = of.iter().filter(|(name, _)| other.contains_key(&**name.get_ref())).collect();
    keys.sort_by_key(|(name, _)| name.span().start);
    keys.into_iter().map(|(name, _)| &**name.get_ref()).collect()
}

/// Whether two values are the same, wherever they stand; `ordered`: tables in them with their order.
fn same(old: &DeValue<'_>, new: &DeValue<'_>, ordered: bool) -> bool {
    match (old, new) {
        (DeValue::String(old), DeValue::String(new)) => old == new,
        (DeValue::Integer(old), DeValue::Integer(new)) => {
            (old.as_str(), old.radix()) == (new.as_str(), new.radix())
        }
        (DeValue::Float(old), DeValue::Float(new)) => old.as_str() == new.as_str(),
        (DeValue::Boolean(old), DeValue::Boolean(new)) => old == new,
        (DeValue::Datetime(old), DeValue::Datetime(new)) => old == new,
        (DeValue::Array(old), DeValue::Array(new)) => {
            old.len() == new.len()
                && old.iter().zip(new.iter()).all(|(old, new)| same(old.get_ref(), new.get_ref(), ordered))
        }
        (DeValue::Table(old), DeValue::Table(new)) => {
            let same_value = |name: &str, new: &DeValue<'_>| {
                old.get(name).is_some_and(|old| same(old.get_ref(), new, ordered))
            };
            old.len() == new.len()
                && new.iter().all(|(name, item)| same_value(name.get_ref(), item.get_ref()))
                && (!ordered || order(old, new) == order(new, old))
        }
        _ => false,
    }
}

/// A key as a plan would write it; what does not belong in one line is escaped, and a long one is cut.
fn shown(key: &str) -> String {
    let bare = !key.is_empty() && key.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-');
    let cut: String = key.chars().take(64).collect();
    let dots = if cut.len() < key.len() { "…" } else { "" };
    if bare { format!("{cut}{dots}") } else { format!("\"{}{dots}\"", cut.escape_debug()) }
}
