//! A run's task specs, compiled: templates, paths, credentials, clients, readers. Once per run, so
//! that a plan that cannot run fails before its first request.

use std::collections::HashMap;
use std::sync::atomic::AtomicU32;
use std::sync::{Arc, OnceLock};

use entities::{
    Auth, Decode, Endpoint, EndpointIndex, Failure, FailureClass, FailureKind, RunContext, SpecIndex,
    TaskSpec, TimeOuts, ValueTemplate,
};
use expr::{Globals, Scope};
use http::header::{
    ACCEPT, ACCEPT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, HOST, TRANSFER_ENCODING, USER_AGENT,
};
use http::{HeaderMap, HeaderName, HeaderValue, Uri};
use serde_json::Map;

use crate::address::{Address, push_pair};
use crate::auth::jwt::Jwt;
use crate::auth::login::Login;
use crate::auth::oauth2::OAuth2;
use crate::auth::refusals::Refusals;
use crate::auth::signing::Signing;
use crate::auth::token::{CredentialId, Credentials, TokenCell, TokenKind, TokenSource};
use crate::auth::{Credential, Scheme, TokenPlace, header_name};
use crate::client::{Client, Clients};
use crate::encoding::ACCEPTED;
use crate::reading::Reader;
use crate::request::{
    CompiledBody, CompiledRequest, Paging, QueryPart, compile_path, each_text, header_value, insert,
};
use crate::template::{Data, Text, secret_texts, wrong};
use crate::worker::Readers;

/// Everything a worker needs for the tasks of one run.
pub(crate) struct CompiledRun {
    pub(crate) globals: Globals,
    pub(crate) specs: Vec<CompiledSpec>,
    pub(crate) readers: Readers,
}

/// One task spec.
pub(crate) struct CompiledSpec {
    pub(crate) request: CompiledRequest,
    /// Shared with the records that are still to be read from a file.
    pub(crate) reader: Arc<Reader>,
    pub(crate) client: Client,
    pub(crate) endpoint: String,
    pub(crate) timeouts: TimeOuts,
    pub(crate) max_body: u64,
    /// Statuses between 300 and 399 that a rule of `on` is for: the rule decides, not the redirect.
    pub(crate) ruled: Vec<(u16, u16)>,
    /// Of a credential that cannot be renewed; shared by the specs that have it.
    pub(crate) refusals: Option<Arc<Refusals>>,
}

/// What of the configuration goes into compiled requests.
pub(crate) struct Surroundings<'a> {
    pub(crate) clients: &'a Clients,
    pub(crate) sandbox_origin: Option<&'a str>,
    pub(crate) user_agent: &'a str,
    pub(crate) credentials: &'a Credentials,
}

/// The token sources of a run: tasks with the same credential have the same.
#[derive(Default)]
struct Sources {
    tokens: HashMap<CredentialId, Arc<TokenSource>>,
    /// By endpoint, and by the task's own `auth`.
    refusals: Vec<(EndpointIndex, Option<Auth>, Arc<Refusals>)>,
}

impl Sources {
    fn refusals(&mut self, spec: &TaskSpec) -> Arc<Refusals> {
        let same =
            |held: &&(EndpointIndex, Option<Auth>, _)| (held.0, &held.1) == (spec.endpoint, &spec.auth);
        if let Some((.., refusals)) = self.refusals.iter().find(same) {
            return Arc::clone(refusals);
        }
        let refusals = Arc::<Refusals>::default();
        self.refusals.push((spec.endpoint, spec.auth.clone(), Arc::clone(&refusals)));
        refusals
    }
}

impl CompiledRun {
    pub(crate) fn compile(context: &RunContext, around: &Surroundings<'_>) -> Result<CompiledRun, Failure> {
        let globals = Globals::new(&context.vars, &context.secrets, context.now);
        let mut sources = Sources::default();
        let specs = context
            .plan
            .spec_indices()
            .map(|index| {
                compile_spec(context, index, &globals, around, &mut sources).map_err(|mut failure| {
                    failure.place.get_or_insert(context.plan.spec(index).at);
                    failure
                })
            })
            .collect::<Result<_, _>>()?;
        Ok(CompiledRun { globals, specs, readers: Readers::default() })
    }
}

fn compile_spec(
    context: &RunContext,
    index: SpecIndex,
    globals: &Globals,
    around: &Surroundings<'_>,
    sources: &mut Sources,
) -> Result<CompiledSpec, Failure> {
    let spec = context.plan.spec(index);
    let endpoint = context.plan.endpoint_of(index);
    let nothing = Map::new();
    let run = Scope { globals, bindings: &nothing, cursor: None, record: None, page: None };
    let base = Text::compile(&endpoint.base_url, &run)?;
    let address = Address::parse(&base.render(&run)?, around.sandbox_origin, base.at())?;
    let client = around.client(&address.uri, endpoint, address.sandbox)?;
    let credential = compile_credential(spec, endpoint, &address, around, &run, sources)?;
    let is_fixed = credential.as_ref().is_some_and(|credential| !matches!(credential, Credential::Token(..)));
    let refusals = is_fixed.then(|| sources.refusals(spec));
    let mut request = compile_request(spec, endpoint, address, credential, around, &run)?;
    around.authorize(&mut request.headers, &request.address.uri, request.address.sandbox);
    Ok(CompiledSpec {
        request,
        reader: Arc::new(Reader::compile(&context.plan, index)?),
        client,
        endpoint: endpoint.name.clone(),
        timeouts: endpoint.timeout,
        max_body: endpoint.max_body,
        ruled: spec.on.iter().chain(&endpoint.on).flat_map(|rule| rule.status.iter().copied()).collect(),
        refusals,
    })
}

impl Surroundings<'_> {
    fn client(&self, url: &Uri, endpoint: &Endpoint, direct: bool) -> Result<Client, Failure> {
        self.clients.client(url, endpoint.timeout.connect, direct).map_err(|why| {
            Failure::new(FailureClass::Permanent, FailureKind::Tls, format!("no TLS on this machine: {why}"))
        })
    }

    /// What a proxy wants to know of a request that it is handed as it is.
    fn authorize(&self, headers: &mut HeaderMap, url: &Uri, direct: bool) {
        if !direct && let Some(value) = self.clients.proxies().authorization(url) {
            headers.insert(http::header::PROXY_AUTHORIZATION, value);
        }
    }
}

/// What `auth` of the task, else of its endpoint, becomes.
fn compile_credential(
    spec: &TaskSpec,
    endpoint: &Endpoint,
    address: &Address,
    around: &Surroundings<'_>,
    run: &Scope<'_>,
    sources: &mut Sources,
) -> Result<Option<Credential>, Failure> {
    let auth = spec.auth.as_ref().unwrap_or(&endpoint.auth);
    let user_agent = around.user_agent;
    let mut token = |place, id, kind, at| {
        let source = sources.tokens.entry(id).or_insert_with(|| {
            Arc::new(TokenSource {
                kind,
                cell: around.credentials.cell(id),
                refused: OnceLock::new(),
                barren: AtomicU32::new(0),
                at,
            })
        });
        Ok(Some(Credential::Token(place, Arc::clone(source))))
    };
    let authorization = TokenPlace::Header(http::header::AUTHORIZATION);
    match auth {
        Auth::OAuth2(plan) => {
            let mut oauth2 = OAuth2::compile(plan, address, around.sandbox_origin, user_agent, run)?;
            let (url, direct) = (oauth2.url().clone(), oauth2.direct);
            around.authorize(oauth2.headers_mut(), &url, direct);
            let client = around.client(&url, endpoint, direct)?;
            token(authorization, oauth2.id(), TokenKind::OAuth2(oauth2, client), plan.at)
        }
        Auth::Login(plan) => {
            let mut login = Login::compile(plan, endpoint, address, user_agent, run)?;
            let place = TokenPlace::compile(&plan.place, plan.at)?;
            let id = login.id(&place, &plan.value.source);
            let url = login.url().clone();
            around.authorize(login.headers_mut(), &url, address.sandbox);
            let client = around.client(&url, endpoint, address.sandbox)?;
            token(place, id, TokenKind::Login(login, client), plan.at)
        }
        Auth::Jwt(plan) => {
            let kind = TokenKind::Jwt(Box::new(Jwt::compile(plan, run)?));
            // Its claims may be the run's, so its token is too.
            let source = TokenSource {
                kind,
                cell: Arc::new(TokenCell::default()),
                refused: OnceLock::new(),
                barren: AtomicU32::new(0),
                at: plan.at,
            };
            Ok(Some(Credential::Token(authorization, Arc::new(source))))
        }
        Auth::Hmac(plan) => {
            Ok(Some(Credential::Signed(Arc::new(Signing::compile(plan, around.credentials, run)?))))
        }
        other => Credential::of_text(other, endpoint.at, run),
    }
}

fn compile_request(
    spec: &TaskSpec,
    endpoint: &Endpoint,
    address: Address,
    credential: Option<Credential>,
    around: &Surroundings<'_>,
    run: &Scope<'_>,
) -> Result<CompiledRequest, Failure> {
    let paging = Paging::compile(spec.paginate.as_ref())?;
    let path = compile_path(spec, run)?;
    let mut query = Vec::new();
    let mut hidden = Vec::new();
    for (part, at) in endpoint
        .query
        .iter()
        .map(|part| (part, endpoint.at))
        .chain(spec.query.iter().map(|part| (part, spec.at)))
    {
        let (name, template) = part;
        // The task's own word counts.
        query.retain(|held: &QueryPart| held.name != *name);
        let value = Data::compile(template, at, run)?;
        let fixed = value.fixed().map(|value| {
            let mut pairs: Vec<String> = Vec::new();
            each_text(value, |text| {
                let mut pair = String::new();
                push_pair(&mut pair, name, text);
                pairs.push(pair);
            });
            pairs.join("&")
        });
        secret_texts(template, run, &mut hidden)?;
        query.push(QueryPart { name: name.clone(), value, fixed });
    }
    let body = CompiledBody::compile(&spec.body, &paging, credential.as_ref(), spec.at, run)?;
    match &spec.body {
        entities::Body::Empty => {}
        entities::Body::Raw(text) => {
            let text = Text::compile(text, run)?;
            if text.uses_secrets() {
                hidden.push(text);
            }
        }
        entities::Body::Json(template) => secret_texts(template, run, &mut hidden)?,
        entities::Body::Form(fields) => {
            for (_, template) in fields {
                secret_texts(template, run, &mut hidden)?;
            }
        }
    }
    let cursor_start = match &spec.cursor {
        Some(cursor) => Some(Data::compile(&ValueTemplate::Text(cursor.start.clone()), cursor.at, run)?),
        None => None,
    };
    let headers = defaults(&address, around.user_agent, &body, spec.reading.decode)?;
    let idempotency_at = spec.places.idempotency.or(spec.at);
    let idempotency =
        spec.idempotency.as_deref().map(|name| header_name(name, idempotency_at)).transpose()?;
    let mut request = CompiledRequest {
        address,
        method: spec.method,
        headers,
        path,
        query,
        rendered: Vec::new(),
        credential,
        body,
        paging,
        cursor_start,
        idempotency,
        hidden,
        at: spec.path.at,
    };
    compile_headers(&mut request, spec, endpoint, run)?;
    if request.path.path.uses_secrets() {
        request.hidden.push(request.path.path.clone());
    }
    if let Some(text) = request.path.query.clone().filter(Text::uses_secrets) {
        request.hidden.push(text);
    }
    Ok(request)
}

fn defaults(
    address: &Address,
    user_agent: &str,
    body: &CompiledBody,
    decode: Decode,
) -> Result<HeaderMap, Failure> {
    let mut headers = HeaderMap::with_capacity(8);
    // The client would render it anew for each request. HTTP/2, which has `:authority` instead, comes with TLS only.
    if let (Some("http"), Some(host)) = (address.uri.scheme_str(), address.uri.authority()) {
        headers.insert(HOST, header_value(&HOST, host.as_str(), false, entities::Place::default())?);
    }
    headers.insert(ACCEPT, HeaderValue::from_static(accepted(decode)));
    headers.insert(ACCEPT_ENCODING, HeaderValue::from_static(ACCEPTED));
    headers.insert(USER_AGENT, header_value(&USER_AGENT, user_agent, false, entities::Place::default())?);
    if let Some(kind) = body.content_type() {
        headers.insert(CONTENT_TYPE, kind);
    }
    Ok(headers)
}

/// What to ask for; other than JSON goes by so many names that anything else will do as well.
fn accepted(decode: Decode) -> &'static str {
    match decode {
        Decode::Auto | Decode::Json => "application/json",
        Decode::Jsonl => "application/x-ndjson, */*;q=0.8",
        Decode::Csv => "text/csv, */*;q=0.8",
        Decode::Xml => "application/xml, text/xml, */*;q=0.8",
        Decode::Text => "text/plain, */*;q=0.8",
    }
}

/// The endpoint's headers, the task's over them, the credential over both.
fn compile_headers(
    request: &mut CompiledRequest,
    spec: &TaskSpec,
    endpoint: &Endpoint,
    run: &Scope<'_>,
) -> Result<(), Failure> {
    let mut schemes: Vec<(HeaderName, Scheme)> = Vec::new();
    for (name, template) in endpoint.headers.iter().chain(&spec.headers) {
        let name = header_name(name, template.at)?;
        if [CONTENT_LENGTH, TRANSFER_ENCODING, http::header::CONNECTION, http::header::UPGRADE]
            .contains(&name)
        {
            return Err(wrong(format!("header `{name}` is not a plan's to set"), template.at));
        }
        let text = Text::compile(template, run)?;
        if text.uses_secrets() {
            request.hidden.push(text.clone());
        }
        schemes.retain(|(held, _)| *held != name);
        schemes.push((name, Scheme::Plain(text)));
    }
    if let Some(Credential::Header(name, scheme)) = &request.credential {
        if !matches!(scheme, Scheme::Cookie(..)) {
            schemes.retain(|(held, _)| held != name);
        }
        schemes.push((name.clone(), scheme.clone()));
    }
    match &request.credential {
        Some(Credential::Token(TokenPlace::Header(name), _)) => schemes.retain(|(held, _)| held != name),
        Some(Credential::Signed(signing)) => schemes.retain(|(held, _)| !signing.owns_header(held)),
        _ => {}
    }
    for (name, scheme) in schemes {
        // Cookies are joined in order, so one that differs per task takes all of them along.
        if scheme.is_fixed() && !request.rendered.iter().any(|(held, _)| *held == name) {
            let credential =
                matches!(&request.credential, Some(Credential::Header(held, _)) if *held == name);
            let value =
                header_value(&name, &scheme.value(run)?, credential || scheme.uses_secrets(), scheme.at())?;
            insert(&mut request.headers, &name, value);
        } else {
            request.rendered.push((name, scheme));
        }
    }
    Ok(())
}
