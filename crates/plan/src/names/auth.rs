//! The templates and programs of `auth`, and the names that signing binds.

use entities::{Auth, Endpoint, Hmac, TaskSpec, ValueTemplate};
use expr::Template;

use crate::names::{Names, span};
use crate::visible::{MESSAGE, SENT, SIGNED, TOKEN, Visible};

impl Names<'_> {
    /// Checks `auth` and says whether it sends the cursor. `visible` is what a request could read
    /// beside it; tokens are shared by all requests, so what fetches one may not depend on any.
    pub(super) fn auth(&self, auth: &Auth, visible: Visible<'_>) -> bool {
        let shared = Visible { secrets: true, ..Visible::nothing("what all requests share") };
        match auth {
            Auth::None | Auth::Bearer(_) | Auth::Basic { .. } | Auth::ApiKey { .. } => {
                auth.texts().into_iter().fold(false, |sends, text| self.template(text, visible) | sends)
            }
            Auth::Hmac(hmac) => self.hmac(hmac, visible),
            Auth::Login(login) => {
                let shared = Visible { place: "a login", ..shared };
                self.template(&login.path, shared);
                login.headers.iter().for_each(|(_, text)| {
                    self.template(text, shared);
                });
                self.body(&login.body, shared);
                self.program(&login.token, &[]);
                self.template(&login.value, Visible { extra: TOKEN, ..shared });
                false
            }
            Auth::OAuth2(_) | Auth::Jwt(_) => {
                let place = if matches!(auth, Auth::Jwt(_)) { "a jwt" } else { "a token request" };
                let shared = Visible { place, ..shared };
                auth.texts().into_iter().for_each(|text| {
                    self.template(text, shared);
                });
                auth.values().into_iter().for_each(|value| {
                    self.value(value, shared);
                });
                false
            }
        }
    }

    fn hmac(&self, hmac: &Hmac, visible: Visible<'_>) -> bool {
        self.template(&hmac.key, Visible { secrets: true, ..Visible::nothing("a key") });
        let mut sends =
            self.template(&hmac.message, Visible { place: "a message to sign", extra: MESSAGE, ..visible });
        for (_, text) in hmac.headers.iter().chain(&hmac.query) {
            sends |= self.template(text, Visible { place: "what is signed", extra: SENT, ..visible });
        }
        sends
    }

    /// Names that signing binds cannot be `foreach` names of a task that signs.
    pub(super) fn check_reserved(&self, task: &TaskSpec, auth: &Auth) {
        if !matches!(auth, Auth::Hmac(_)) {
            return;
        }
        for foreach in task.foreach.iter().filter(|foreach| SENT.contains(&foreach.name.as_str())) {
            let name = &foreach.name;
            self.findings.push(
                self.findings
                    .error(
                        "reserved-name",
                        span(foreach.at),
                        format!("`{name}` already stands for something where requests are signed"),
                    )
                    .label("reserved by hmac")
                    .help(format!("call it something else: `{name}_` or `the_{name}`")),
            );
        }
    }

    /// What an endpoint that signs adds to each request must not need a signature where a task of it
    /// is not signed.
    pub(super) fn check_unsigned(&self, task: &TaskSpec, endpoint: &Endpoint, auth: &Auth) {
        if matches!(auth, Auth::Hmac(_)) || !matches!(endpoint.auth, Auth::Hmac(_)) {
            return;
        }
        let query = endpoint.query.iter().filter_map(|(_, value)| match value {
            ValueTemplate::Text(text) => Some(text),
            _ => None,
        });
        for text in endpoint.headers.iter().map(|(_, text)| text).chain(query) {
            let Ok(template) = Template::compile(text) else { continue };
            let Some(name) = template.names().iter().find(|name| SIGNED.contains(&name.as_str())) else {
                continue;
            };
            self.findings.push(
                self.findings
                    .error("unknown-name", span(task.at), format!("[tasks.{}] is not signed, but [endpoints.{}] adds `{name}` to each request", task.name, endpoint.name))
                    .label("has an `auth` of its own")
                    .help(format!("move what uses `{{{{ {name} }}}}` into `hmac` of the endpoint, or give this task an endpoint of its own")),
            );
            return;
        }
    }
}
