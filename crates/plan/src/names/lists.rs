//! What a task is repeated over: the templates and programs in its `foreach`.

use entities::{Foreach, Over, TaskSpec, TemplateText, ValueTemplate, Which};
use jiff::tz::TimeZone;
use serde_json::Value;

use crate::foreach::instant;
use crate::names::{Names, kind, span};
use crate::visible::{OwnNames, Visible, jq_name};
use crate::zone::zone_named;

impl Names<'_> {
    /// Checks one name of `foreach` and says whether it begins at the cursor.
    pub(super) fn foreach(&self, foreach: &Foreach, task: &TaskSpec, tasks: &[Option<TaskSpec>]) -> bool {
        // Lists and windows below a parent record may read it; nothing else is known yet.
        let record: Vec<Foreach> =
            task.records().filter(|record| record.name != foreach.name).cloned().into_iter().collect();
        let visible = Visible {
            foreach: &record,
            tasks,
            own_names: OwnNames::OfRecords,
            ..Visible::nothing("`foreach`")
        };
        match &foreach.over {
            Over::Range { .. } | Over::Rows { .. } => false,
            Over::List(ValueTemplate::Text(text)) => {
                self.template(text, visible);
                match self.evaluate(text) {
                    Some(Value::Array(_)) | None => {}
                    Some(other) => self.findings.push(
                        self.findings
                            .error("not-a-list", span(text.at), format!("`{}` must yield a list, and it yields {}", foreach.name, kind(&other)))
                            .label("not a list")
                            .help("make the variable a list: x = [\"a\", \"b\"] (or --set x=a,b), and write nothing around the braces"),
                    ),
                }
                false
            }
            Over::List(value) => {
                self.value(value, visible);
                false
            }
            Over::Windows { from, to, .. } => {
                let first = Visible { cursor: Some(task.cursor.is_some()), ..visible };
                let sends = self.template(from, first);
                self.template(to, Visible { place: "the end of windows", ..visible });
                let zone = task.zone.as_deref().and_then(zone_named).unwrap_or(TimeZone::UTC);
                if let [Some(from_at), Some(to_at)] = [from, to].map(|text| self.end(text, &zone))
                    && from_at >= to_at
                {
                    self.findings.push(
                        self.findings
                            .error("empty-range", span(to.at), "the windows end before they begin")
                            .label("not after `from`")
                            .help("swap `from` and `to`, or use to = \"{{ now }}\""),
                    );
                }
                sends
            }
            Over::Records { filter, which, .. } => {
                let Some(filter) = filter else { return false };
                let parent = foreach.task().and_then(|parent| tasks.get(parent.0 as usize)?.as_ref());
                let own: Vec<&str> = parent
                    .map(|parent| parent.foreach.iter().map(|foreach| foreach.name.as_str()).collect())
                    .unwrap_or_default();
                if *which == Which::Changed {
                    self.predicate(filter, &own);
                    return false;
                }
                for name in own {
                    if let Some(at) = jq_name(&filter.source, name).next() {
                        let parent = parent.map_or("", |parent| &parent.name);
                        self.findings.push(
                            self.findings
                                .error("unknown-name", self.findings.within(filter.at, &filter.source, Some(at)), format!("with all = true the rows of a table are read, and they do not know `${name}`"))
                                .label("not a column")
                                .help(format!("store it: fields = {{ {name} = \"{{{{ {name} }}}}\" }} in [tasks.{parent}], and write .{name} here")),
                        );
                        return false;
                    }
                }
                self.predicate(filter, &[]);
                false
            }
        }
    }

    /// One end of the windows, if it can be known before a run.
    fn end(&self, text: &TemplateText, zone: &TimeZone) -> Option<jiff::Timestamp> {
        let value = match self.evaluate(text) {
            Some(value) => value,
            None if !text.source.contains("{{") => Value::from(&*text.source),
            None => return None,
        };
        let at = value.as_str().and_then(|text| instant(text, zone));
        if at.is_none() {
            self.findings.push(
                self.findings
                    .error(
                        "bad-date",
                        span(text.at),
                        format!("`{}` is not a date or timestamp", value.to_string().trim_matches('"')),
                    )
                    .label("expected a date")
                    .help("dates look like \"2024-01-01\" or \"2024-01-01T00:00:00Z\""),
            );
        }
        at
    }
}
