//! A request's body.

use bytes::Bytes;
use entities::{Body, Failure, Place};
use expr::Scope;
use http::HeaderValue;
use serde_json::{Map, Value};
use url::form_urlencoded::Serializer;

use super::Sending;
use super::{CompiledRequest, Paging, each_text};
use crate::auth::{Credential, TokenPlace};
use crate::template::{Data, Text, wrong};

/// A spec's body, compiled.
#[derive(Debug)]
pub(crate) enum CompiledBody {
    Empty,
    /// The same bytes for every task of the run.
    Fixed(Bytes, &'static str),
    Json(Option<Data>),
    Form(Vec<(String, Data)>),
    /// The text as it is; its `Content-Type` is the plan's to set.
    Raw(Text),
}

const JSON: &str = "application/json";
const FORM: &str = "application/x-www-form-urlencoded";

impl CompiledBody {
    /// Compiles `body`; what goes into it beside (a page, a key) makes one where the plan has none.
    pub(crate) fn compile(
        body: &Body,
        paging: &Paging,
        credential: Option<&Credential>,
        at: Place,
        run: &Scope<'_>,
    ) -> Result<CompiledBody, Failure> {
        let key = credential.is_some_and(Credential::in_body);
        Ok(match body {
            Body::Empty if key || paging.in_json() => CompiledBody::Json(None),
            Body::Empty if paging.in_form() => CompiledBody::Form(Vec::new()),
            Body::Empty => CompiledBody::Empty,
            Body::Json(_) if paging.in_form() => {
                return Err(wrong("`paginate` says in = \"form\", but the body is JSON", at));
            }
            Body::Form(_) if paging.in_json() || key => {
                return Err(wrong("a page or key goes into a JSON body, but the body is a form", at));
            }
            Body::Json(template) => {
                let data = Data::compile(template, at, run)?;
                match data.fixed() {
                    Some(value) if !key && !paging.in_body() => {
                        CompiledBody::Fixed(Bytes::from(value.to_string()), JSON)
                    }
                    _ => CompiledBody::Json(Some(data)),
                }
            }
            Body::Raw(_) if key || paging.in_body() => {
                return Err(wrong("a page or key cannot go into `body`, which is sent as it is", at)
                    .help("write the body as `json` or `form`"));
            }
            Body::Raw(text) => CompiledBody::Raw(Text::compile(text, run)?),
            Body::Form(fields) => CompiledBody::Form(
                fields
                    .iter()
                    .map(|(name, value)| Ok((name.clone(), Data::compile(value, at, run)?)))
                    .collect::<Result<_, Failure>>()?,
            ),
        })
    }

    /// The body's `Content-Type`, unless the plan names one.
    pub(crate) fn content_type(&self) -> Option<HeaderValue> {
        match self {
            CompiledBody::Empty | CompiledBody::Raw(_) => None,
            CompiledBody::Fixed(_, kind) => Some(HeaderValue::from_static(kind)),
            CompiledBody::Json(_) => Some(HeaderValue::from_static(JSON)),
            CompiledBody::Form(_) => Some(HeaderValue::from_static(FORM)),
        }
    }

    pub(crate) fn build(
        &self,
        request: &CompiledRequest,
        scope: &Scope<'_>,
        paged: Option<&Value>,
        sending: &Sending,
    ) -> Result<Option<Bytes>, Failure> {
        match self {
            CompiledBody::Empty => Ok(None),
            CompiledBody::Fixed(bytes, _) => Ok(Some(bytes.clone())),
            CompiledBody::Json(data) => {
                let mut value = match data {
                    Some(data) => data.value(scope)?.into_owned(),
                    None => Value::Object(Map::new()),
                };
                let mut fits = true;
                request.paging.to_json(paged, |path, page| fits &= set(&mut value, path, page.clone()));
                let key = match &request.credential {
                    Some(Credential::Body(path, key)) => Some((path, key.render(scope)?.into_owned())),
                    Some(Credential::Token(TokenPlace::Body(path), _)) => {
                        sending.token.as_ref().map(|token| (path, token.value.expose().to_owned()))
                    }
                    _ => None,
                };
                if let Some((path, key)) = key {
                    fits &= set(&mut value, path, Value::String(key));
                }
                if !fits {
                    return Err(wrong(
                        "a page or key goes to a path of the JSON body that leads through a value that is no object",
                        request.at,
                    ));
                }
                Ok(Some(Bytes::from(value.to_string())))
            }
            CompiledBody::Raw(text) => Ok(Some(Bytes::from(text.render(scope)?.into_owned()))),
            CompiledBody::Form(fields) => {
                let mut form = Serializer::new(String::new());
                for (name, data) in fields {
                    if !request.paging.replaces_field(name) {
                        each_text(&*data.value(scope)?, |text| {
                            form.append_pair(name, text);
                        });
                    }
                }
                request.paging.to_form(paged, |name, value| {
                    each_text(value, |text| {
                        form.append_pair(name, text);
                    });
                });
                Ok(Some(Bytes::from(form.finish())))
            }
        }
    }
}

/// Sets the value at a path, making the objects on the way; false if something else is in it.
fn set(root: &mut Value, path: &[String], value: Value) -> bool {
    let Some((first, rest)) = path.split_first() else {
        *root = value;
        return true;
    };
    if root.is_null() {
        *root = Value::Object(Map::new());
    }
    let Value::Object(fields) = root else { return false };
    set(fields.entry(first.clone()).or_insert(Value::Null), rest, value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_made_as_needed() {
        for (root, path, expected) in [
            ("{}", "a", Some("{\"a\":1}")),
            ("{\"a\":{\"b\":2}}", "a.c", Some("{\"a\":{\"b\":2,\"c\":1}}")),
            ("{\"a\":{\"b\":2}}", "a.b", Some("{\"a\":{\"b\":1}}")),
            ("null", "a.b", Some("{\"a\":{\"b\":1}}")),
            ("{\"a\":5}", "a.b", None),
            ("[1]", "a", None),
        ] {
            let mut value: Value = serde_json::from_str(root).unwrap();
            let fits = set(&mut value, &crate::auth::dotted(path), Value::from(1));
            assert_eq!(fits.then(|| value.to_string()).as_deref(), expected, "{root} {path}");
        }
    }
}
