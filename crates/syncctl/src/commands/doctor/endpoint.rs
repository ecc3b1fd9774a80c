//! What a plan needs of each endpoint: its name, a connection, TLS, a credential that works, one real answer.

use std::time::Duration;

use engine::{Experience, forecast};
use entities::{Auth, Endpoint, Failure, FailureKind, Secrets, SpecIndex, SyncPlan};
use http_worker::{Certificate, Probe, ProxySettings, Seen, probe};
use sandbox::Sandbox;

use super::{Check, State, limits};
use crate::compose;
use crate::context::Context;
use crate::exit::{Exit, Problem};
use crate::look::{self, Look, Looked};
use crate::report;
use crate::terminal::{counted, duration};

/// A clock that is further off than this breaks signatures and cursors.
const SKEW: Duration = Duration::from_secs(30);
/// Certificates that end within it are warned of.
const SOON: u64 = 14;
const DAY: u64 = 86_400;

pub(super) struct Endpoints<'a> {
    pub(super) plan: &'a SyncPlan,
    /// Those that could be had.
    pub(super) secrets: &'a Secrets,
    pub(super) context: &'a Context,
}

impl Endpoints<'_> {
    pub(super) async fn checks(&self) -> Result<Vec<Check>, Problem> {
        let Endpoints { plan, secrets, context } = *self;
        let forecast = forecast(plan, context.now(), &Experience::default())
            .map_err(|error| report::problem_of(error, plan, secrets, context.colour))?;
        let practice = compose::practice(plan).await?;
        let mut checks = Vec::new();
        for (index, endpoint) in plan.endpoints.iter().enumerate() {
            let about = format!("endpoint {}", endpoint.name);
            let host = &forecast.endpoints[index].host;
            let (found, reachable) = self.network(&about, host, endpoint, practice.as_ref()).await;
            checks.extend(found);
            let missing: Vec<&str> = forecast.endpoints[index]
                .secrets
                .iter()
                .filter(|name| !secrets.0.contains_key(*name))
                .map(String::as_str)
                .collect();
            if !reachable {
                checks.push(Check::skipped(&about, "request", "not sent: there is no connection"));
            } else if !missing.is_empty() {
                let why = format!("not sent: without the secret {}", missing.join(", "));
                checks.push(Check::skipped(&about, "request", why));
            } else if let Some(spec) = self.cheapest(index) {
                checks.extend(self.request(&about, spec, endpoint).await?);
            } else {
                checks.push(Check::skipped(&about, "request", "no task uses this endpoint"));
            }
        }
        Ok(checks)
    }

    /// Name, connection, TLS.
    async fn network(
        &self,
        about: &str,
        host: &str,
        endpoint: &Endpoint,
        practice: Option<&Sandbox>,
    ) -> (Vec<Check>, bool) {
        if host.contains("{{") {
            let why = "base_url is known only with its secrets";
            return (vec![Check::skipped(about, "address", why)], true);
        }
        let direct = ProxySettings::default();
        let sandbox = practice.filter(|_| host.starts_with("sandbox:")).map(Sandbox::origin);
        let (url, proxies) = match &sandbox {
            Some(origin) => (origin.as_str(), &direct),
            None => (host, &self.context.proxies),
        };
        let mut checks = Vec::new();
        let within = endpoint.timeout.connect;
        let probe = match probe(url, proxies, within, &self.context.clock).await {
            Ok(probe) => probe,
            Err(why) => {
                let help = "check base_url, and the proxy variables of the environment";
                return (vec![Check::bad(about, "address", why, help)], false);
            }
        };
        if let Some(proxy) = &probe.proxy {
            checks.push(Check::good(about, "proxy", format!("{proxy} leads to {host}")));
        }
        match &probe.addresses {
            Err(failure) => checks.push(failed(about, "address", failure)),
            Ok(addresses) => {
                let shown: Vec<String> = addresses.iter().take(4).map(ToString::to_string).collect();
                let place = if sandbox.is_some() { "the built-in practice API on " } else { "" };
                let more = addresses.len().saturating_sub(4);
                let more = if more > 0 { format!(" and {more} more") } else { String::new() };
                checks.push(Check::good(
                    about,
                    "address",
                    format!("{host} is {place}{}{more}", shown.join(", ")),
                ));
            }
        }
        match &probe.connected {
            Some(Ok((address, took))) => {
                checks.push(Check::good(about, "connection", format!("{address} in {}", duration(*took))));
            }
            Some(Err(failure)) => checks.push(failed(about, "connection", failure)),
            None => {}
        }
        checks.extend(self.tls(about, &probe));
        if probe.tls.is_none()
            && probe.connected.is_some()
            && sandbox.is_none()
            && endpoint.auth != Auth::None
        {
            let text = format!("{host} is not encrypted: whoever is on the way reads the credential");
            let local = probe.addresses.iter().flatten().all(|address| address.is_loopback());
            if !local {
                checks.push(Check::warning(
                    about,
                    "TLS",
                    text,
                    "write https:// in base_url, if the API has it",
                ));
            }
        }
        let reachable = checks.iter().all(|check| check.state != State::Bad);
        (checks, reachable)
    }

    fn tls(&self, about: &str, probe: &Probe) -> Option<Check> {
        let certificate = probe.certificate.as_ref().map(|certificate| self.words(certificate));
        Some(match probe.tls.as_ref()? {
            Ok(version) => {
                let text =
                    format!("{version}{}", certificate.map(|words| format!(", {words}")).unwrap_or_default());
                let left = probe.certificate.as_ref().map(|certificate| self.days_left(certificate));
                match left.filter(|left| *left < SOON) {
                    Some(_) => Check::warning(
                        about,
                        "TLS",
                        text,
                        "whoever runs the server must renew it before it ends",
                    ),
                    None => Check::good(about, "TLS", text),
                }
            }
            Err(failure) => {
                let text = match certificate {
                    Some(words) => format!("{}; the server shows {words}", failure.message),
                    None => failure.message.clone(),
                };
                Check::bad(about, "TLS", text, self.tls_help(failure, probe.certificate.as_ref()))
            }
        })
    }

    fn tls_help(&self, failure: &Failure, certificate: Option<&Certificate>) -> String {
        let now = self.context.now();
        match certificate {
            Some(certificate) if certificate.until < now => format!(
                "whoever runs the server must renew its certificate; unless this machine's clock is wrong: it says {}",
                now.to_rfc3339()
            ),
            Some(certificate) if certificate.from > now => {
                format!("set this machine's clock: it says {}", now.to_rfc3339())
            }
            Some(certificate) if failure.message.contains("not valid for") => {
                format!(
                    "write a host in base_url that the certificate is for: {}",
                    certificate.names.join(", ")
                )
            }
            Some(certificate) if failure.message.contains("UnknownIssuer") => format!(
                "if you trust {:?}, add its certificate to the system's (SSL_CERT_FILE names a file of them)",
                certificate.issuer
            ),
            _ => failure.help.clone().unwrap_or_else(|| "is it https:// that the port speaks?".to_owned()),
        }
    }

    /// `for a.example, by Let's Encrypt, good for 63 days`
    fn words(&self, certificate: &Certificate) -> String {
        let names = certificate.names.iter().take(3).cloned().collect::<Vec<_>>().join(", ");
        let whose = if names.is_empty() { certificate.subject.clone() } else { names };
        let day = |moment: entities::Moment| moment.to_rfc3339().chars().take(10).collect::<String>();
        let now = self.context.now();
        let until = if certificate.until < now {
            format!("EXPIRED on {}", day(certificate.until))
        } else if certificate.from > now {
            format!("good only from {} on", day(certificate.from))
        } else {
            format!("good for {}", counted(self.days_left(certificate), "more day"))
        };
        format!("a certificate for {whose}, by {}, {until}", certificate.issuer)
    }

    fn days_left(&self, certificate: &Certificate) -> u64 {
        certificate.until.since(self.context.now()).as_secs() / DAY
    }

    /// The task of an endpoint whose request needs the fewest others before it.
    fn cheapest(&self, endpoint: usize) -> Option<SpecIndex> {
        let depth = |index: &SpecIndex| {
            let mut depth = self.plan.spec(*index).lists().count();
            let mut parent = self.plan.spec(*index).parent();
            while let Some(index) = parent {
                depth += 1;
                parent = self.plan.spec(index).parent();
            }
            depth
        };
        let own = |index: &SpecIndex| self.plan.spec(*index).endpoint.0 as usize == endpoint;
        self.plan.spec_indices().filter(own).min_by_key(depth)
    }

    /// One real request: is it answered, is the credential taken, is the clock right, what of limits.
    async fn request(
        &self,
        about: &str,
        spec: SpecIndex,
        endpoint: &Endpoint,
    ) -> Result<Vec<Check>, Problem> {
        let task = &self.plan.spec(spec).name;
        let Looked { mut looks, report } =
            match look::look(self.plan, self.secrets, vec![task.clone()], self.context).await {
                Ok(looked) => looked,
                Err(problem) if problem.exit == Exit::Interrupted => return Err(problem),
                Err(problem) => {
                    let help = problem
                        .help
                        .first()
                        .cloned()
                        .unwrap_or_else(|| "syncctl validate shows where".to_owned());
                    return Ok(vec![Check::bad(about, "request", problem.text, help)]);
                }
            };
        let Some(Look { seen, page, failure, quotas }) = looks.remove(&spec) else {
            let why = report
                .reason
                .unwrap_or_else(|| "nothing drives it, or a limit does not let it go yet".to_owned());
            return Ok(vec![Check::skipped(about, "request", format!("task {task} made none: {why}"))]);
        };
        let mut checks = Vec::new();
        let auth = self.plan.spec(spec).auth.as_ref().unwrap_or(&endpoint.auth);
        let refused = failure.as_ref().is_some_and(|failure| {
            matches!(failure.kind, FailureKind::Unauthorized | FailureKind::Auth)
                || matches!(failure.status, Some(401 | 403))
        });
        match &failure {
            Some(failure) if refused => {
                let default = match auth {
                    Auth::None => "the API wants a credential: write `auth` into the endpoint",
                    _ => "is the secret right, not expired, and allowed to read this?",
                };
                let help = failure.help.clone().unwrap_or_else(|| default.to_owned());
                checks.push(Check::bad(about, "auth", words(failure), help));
            }
            Some(failure) => checks.push(failed(about, "request", failure)),
            None => {
                let rows = page.as_ref().map_or(0, |page| page.records.all_rows());
                let status = seen.as_ref().map_or(0, |seen| seen.status);
                let request = seen.as_ref().map_or(task.as_str(), |seen| &seen.request);
                let took =
                    seen.as_ref().map(|seen| duration(seen.answered.since(seen.sent))).unwrap_or_default();
                let text = format!("{request} → {status} in {took}, {} (task {task})", counted(rows, "row"));
                checks.push(Check::good(about, "request", text));
                if *auth != Auth::None {
                    checks.push(Check::good(about, "auth", "the credential is taken"));
                }
            }
        }
        if let Some(seen) = &seen {
            checks.extend(clock(about, seen));
            checks.push(limits::check(about, seen, &quotas, &endpoint.limits));
        }
        Ok(checks)
    }
}

fn failed(about: &str, what: &str, failure: &Failure) -> Check {
    let help = failure.help.clone().unwrap_or_else(|| match failure.kind {
        FailureKind::Connect => "is the server up, and is base_url right?".to_owned(),
        FailureKind::RateLimited => "wait until the limit opens again; name it in `limits`".to_owned(),
        FailureKind::Missing => {
            "syncctl preview shows the answer beside what the plan reads from it".to_owned()
        }
        _ => "syncctl preview shows the request, the answer and the plan's line".to_owned(),
    });
    Check::bad(about, what, words(failure), help)
}

/// `status: 404 Not Found (GET https://…); the answer: no such thing`
fn words(failure: &Failure) -> String {
    let mut out = failure.to_string();
    if let Some(request) = &failure.request {
        out.push_str(&format!(" ({request})"));
    }
    if let Some(body) = failure.body.as_deref().filter(|body| !body.trim().is_empty()) {
        out.push_str(&format!("; the answer: {body}"));
    }
    out
}

/// This machine's clock beside the server's, which tells whole seconds only.
fn clock(about: &str, seen: &Seen) -> Option<Check> {
    let date = seen.date?;
    let middle = seen.sent + seen.answered.since(seen.sent) / 2;
    let (off, which) = match date > middle {
        true => (date.since(middle), "behind"),
        false => (middle.since(date), "ahead of"),
    };
    if off <= SKEW {
        return Some(Check::good(about, "clock", "agrees with the server's"));
    }
    let text =
        format!("this machine is {} {which} the server: signatures and cursors go wrong", duration(off));
    Some(Check::warning(
        about,
        "clock",
        text,
        "set this machine's clock (timedatectl set-ntp true), if it is the one that is wrong",
    ))
}
