//! `on`: what an answer means.

use entities::{OnAction, OnRule};
use toml::de::DeValue;

use crate::endpoint::positive_duration;
use crate::item::Item;
use crate::reader::suggest_or_list;

const EXAMPLE: &str = "on = [{ status = 404, do = \"skip\" }]";

/// Reads the rules of a task or endpoint.
pub(crate) fn rules(item: &Item<'_>) -> Vec<OnRule> {
    let rules: Vec<OnRule> = item
        .list()
        .unwrap_or_default()
        .into_iter()
        .filter_map(|mut element| {
            element.what = format!("a rule of {}", item.what);
            rule(&element)
        })
        .collect();
    check_reachable(item, &rules);
    rules
}

fn rule(item: &Item<'_>) -> Option<OnRule> {
    let mut section = item.section(EXAMPLE)?;
    let status_item = section.take("status");
    let when = section.take("when");
    let action_item =
        section.need("do", "\"retry\", \"wait\", \"skip\", \"fail\", \"stop\", \"reauth\" or \"split\"");
    let how_long = section.take("for");
    let message = section.take("message");
    section.finish();
    if status_item.is_none() && when.is_none() {
        item.wrong(
            "rule-for-all",
            "a rule without `status` and `when` would apply to every answer",
            "for which answers?",
            "add status = 404, status = \"5xx\" or when = \".error != null\"",
        );
        return None;
    }
    let status = match &status_item {
        Some(item) => statuses(item)?,
        None => Vec::new(),
    };
    let how_long_value = how_long.as_ref().and_then(positive_duration);
    let action_item = action_item?;
    let action = match action_item.string()? {
        "retry" => OnAction::Retry,
        "wait" => OnAction::Wait { how_long: how_long_value },
        "skip" => OnAction::Skip,
        "fail" => OnAction::Fail,
        "stop" => OnAction::Stop,
        "reauth" => OnAction::Reauth,
        "split" => OnAction::Split,
        other => {
            let actions = ["retry", "wait", "skip", "fail", "stop", "reauth", "split"];
            action_item.wrong(
                "unknown-action",
                format!("`{other}` is nothing a rule can do"),
                "unknown",
                match other {
                    "ignore" => "did you mean `skip`?".to_owned(),
                    "error" | "abort" => "did you mean `fail`?".to_owned(),
                    "break" | "end" => "did you mean `stop`?".to_owned(),
                    "login" | "refresh" | "renew" => "did you mean `reauth`?".to_owned(),
                    "halve" => "did you mean `split`?".to_owned(),
                    _ => suggest_or_list(other, actions.into_iter(), "what a rule can do"),
                },
            );
            return None;
        }
    };
    if let Some(item) = how_long
        && !matches!(action, OnAction::Wait { .. })
    {
        item.wrong(
            "bad-for",
            "`for` goes with do = \"wait\" only",
            "has no meaning here",
            "remove it, or write do = \"wait\"",
        );
    }
    Some(OnRule {
        status,
        when: when.and_then(|item| item.jq()),
        action,
        message: message.and_then(|item| item.string().map(str::to_owned)),
        at: item.findings.place(item.span()),
    })
}

fn statuses(item: &Item<'_>) -> Option<Vec<(u16, u16)>> {
    match item.get() {
        DeValue::Array(items) if items.is_empty() => {
            item.wrong(
                "empty",
                format!("{} is empty", item.what),
                "matches no answer",
                "write status = [404, 410]",
            );
            None
        }
        DeValue::Array(_) => {
            let statuses: Vec<(u16, u16)> = item.list()?.iter().filter_map(status).collect();
            (!statuses.is_empty()).then_some(statuses)
        }
        _ => Some(vec![status(item)?]),
    }
}

fn status(item: &Item<'_>) -> Option<(u16, u16)> {
    let help = "write a status such as 404, or a class such as \"5xx\"";
    match item.get() {
        DeValue::Integer(_) => {
            let value = item.integer()?;
            match u16::try_from(value) {
                Ok(status @ 100..=599) => Some((status, status)),
                _ => {
                    item.wrong(
                        "bad-status",
                        format!("{value} is not an HTTP status"),
                        "expected 100 to 599",
                        help,
                    );
                    None
                }
            }
        }
        DeValue::String(text) => {
            let class = text.strip_suffix("xx").and_then(|class| class.parse::<u16>().ok());
            match class {
                Some(class @ 1..=5) => Some((class * 100, class * 100 + 99)),
                _ => {
                    item.wrong(
                        "bad-status",
                        format!("`{text}` is not an HTTP status"),
                        "unknown status",
                        help,
                    );
                    None
                }
            }
        }
        _ => {
            item.expected("a status or a list of them", Some(help.to_owned()));
            None
        }
    }
}

/// The first match wins: a rule whose every status is taken by rules before it never applies.
fn check_reachable(item: &Item<'_>, rules: &[OnRule]) {
    let mut taken: Vec<(u16, &OnRule)> = Vec::new();
    for (index, rule) in rules.iter().enumerate() {
        // The same condition cannot hold later if it did not before.
        let condition = |rule: &OnRule| rule.when.as_ref().map(|when| when.source.trim().to_owned());
        let all = |earlier: &OnRule| (100..600).all(|status| !rule.covers(status) || earlier.covers(status));
        let same = rules[..index]
            .iter()
            .find(|earlier| rule.when.is_some() && condition(earlier) == condition(rule) && all(earlier));
        if let Some(earlier) = same {
            let span = rule.at.start as usize..rule.at.end as usize;
            item.findings.push(
                item.findings
                    .error("unreachable-rule", span, "this rule never applies: the first match wins")
                    .label("never reached")
                    .help(format!(
                        "the rule in line {} has the same `when`; remove one of them",
                        earlier.at.line
                    )),
            );
            continue;
        }
        let mut covered = (100u16..600)
            .filter(|status| rule.covers(*status))
            .map(|status| taken.iter().find(|(other, _)| *other == status).map(|(_, earlier)| *earlier));
        // The first status names the culprit; all must be taken.
        let first = covered.next().flatten();
        if let Some(earlier) = first
            && covered.all(|earlier| earlier.is_some())
        {
            let span = rule.at.start as usize..rule.at.end as usize;
            item.findings.push(
                item.findings
                    .error("unreachable-rule", span, "this rule never applies: the first match wins")
                    .label("never reached")
                    .help(format!("the rule in line {} already takes its statuses; put this one before it, or remove it", earlier.at.line)),
            );
        }
        if rule.when.is_none() {
            for status in 100..600 {
                if rule.covers(status) && !taken.iter().any(|(other, _)| *other == status) {
                    taken.push((status, rule));
                }
            }
        }
    }
}
