//! What a plan calls itself, before anybody reads the rest of it.

use toml::de::{DeTable, DeValue};

/// `[plan].name` of a text, whether or not it is a plan that can run; none if it says none, or is no TOML.
pub fn name_of(text: &str) -> Option<String> {
    let document = DeTable::parse(text).ok()?.into_inner();
    let DeValue::Table(plan) = document.get("plan")?.get_ref() else { return None };
    let DeValue::String(name) = plan.get("name")?.get_ref() else { return None };
    Some(name.clone().into_owned())
}

#[cfg(test)]
mod tests {
    use super::name_of;

    #[test]
    fn names_are_read_whatever_the_rest_is() {
        for (text, expected) in [
            ("[plan]\nname = \"p\"\nunknown = 1", Some("p")),
            ("plan = { name = 'q' }", Some("q")),
            ("[plan]\nname = 1", None),
            ("[plan]", None),
            ("plan = 1", None),
            ("[plan\nname = \"p\"", None),
            ("", None),
        ] {
            assert_eq!(name_of(text).as_deref(), expected, "{text}");
        }
    }
}
