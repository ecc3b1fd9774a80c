//! A run's task specs, compiled: templates, paths, credentials, clients, readers. Once per run, so
//! that a plan that cannot run fails before its first request.

use entities::{
    Endpoint, Failure, FailureClass, FailureKind, RunContext, SpecIndex, TaskSpec, TimeOuts, ValueTemplate,
};
use expr::{Globals, Scope};
use http::header::{
    ACCEPT, ACCEPT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, HOST, TRANSFER_ENCODING, USER_AGENT,
};
use http::{HeaderMap, HeaderName, HeaderValue};
use serde_json::Map;

use crate::address::{Address, push_pair};
use crate::auth::{Credential, Scheme, header_name};
use crate::client::{Client, Clients};
use crate::encoding::ACCEPTED;
use crate::reading::Reader;
use crate::request::{
    CompiledBody, CompiledRequest, Paging, QueryPart, compile_path, each_text, header_value, insert,
};
use crate::template::{Data, Text, secret_texts, wrong};

/// Everything a worker needs for the tasks of one run.
pub(crate) struct CompiledRun {
    pub(crate) globals: Globals,
    pub(crate) specs: Vec<CompiledSpec>,
}

/// One task spec.
pub(crate) struct CompiledSpec {
    pub(crate) request: CompiledRequest,
    pub(crate) reader: Reader,
    pub(crate) client: Client,
    pub(crate) endpoint: String,
    pub(crate) timeouts: TimeOuts,
    pub(crate) max_body: u64,
    /// Statuses between 300 and 399 that a rule of `on` is for: the rule decides, not the redirect.
    pub(crate) ruled: Vec<(u16, u16)>,
}

/// What of the configuration goes into compiled requests.
pub(crate) struct Surroundings<'a> {
    pub(crate) clients: &'a Clients,
    pub(crate) sandbox_origin: Option<&'a str>,
    pub(crate) user_agent: &'a str,
}

impl CompiledRun {
    pub(crate) fn compile(context: &RunContext, around: &Surroundings<'_>) -> Result<CompiledRun, Failure> {
        let globals = Globals::new(&context.vars, &context.secrets, context.now);
        let specs = context
            .plan
            .spec_indices()
            .map(|index| {
                compile_spec(context, index, &globals, around).map_err(|mut failure| {
                    failure.place.get_or_insert(context.plan.spec(index).at);
                    failure
                })
            })
            .collect::<Result<_, _>>()?;
        Ok(CompiledRun { globals, specs })
    }
}

fn compile_spec(
    context: &RunContext,
    index: SpecIndex,
    globals: &Globals,
    around: &Surroundings<'_>,
) -> Result<CompiledSpec, Failure> {
    let spec = context.plan.spec(index);
    let endpoint = context.plan.endpoint_of(index);
    let nothing = Map::new();
    let run = Scope { globals, bindings: &nothing, cursor: None, record: None, page: None };
    let base = Text::compile(&endpoint.base_url, &run)?;
    let address = Address::parse(&base.render(&run)?, around.sandbox_origin, base.at())?;
    let client =
        around.clients.client(&address.uri, endpoint.timeout.connect, address.sandbox).map_err(|why| {
            Failure::new(FailureClass::Permanent, FailureKind::Tls, format!("no TLS on this machine: {why}"))
        })?;
    let mut request = compile_request(spec, endpoint, address, around, &run)?;
    if !request.address.sandbox
        && let Some(value) = around.clients.proxies().authorization(&request.address.uri)
    {
        request.headers.insert(http::header::PROXY_AUTHORIZATION, value);
    }
    Ok(CompiledSpec {
        request,
        reader: Reader::compile(&context.plan, index)?,
        client,
        endpoint: endpoint.name.clone(),
        timeouts: endpoint.timeout,
        max_body: endpoint.max_body,
        ruled: spec.on.iter().chain(&endpoint.on).flat_map(|rule| rule.status.iter().copied()).collect(),
    })
}

fn compile_request(
    spec: &TaskSpec,
    endpoint: &Endpoint,
    address: Address,
    around: &Surroundings<'_>,
    run: &Scope<'_>,
) -> Result<CompiledRequest, Failure> {
    let credential = Credential::compile(spec.auth.as_ref().unwrap_or(&endpoint.auth), endpoint.at, run)?;
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
        entities::Body::Empty | entities::Body::Raw(_) => {}
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
    let headers = defaults(&address, around.user_agent, &body)?;
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

fn defaults(address: &Address, user_agent: &str, body: &CompiledBody) -> Result<HeaderMap, Failure> {
    let mut headers = HeaderMap::with_capacity(8);
    // The client would render it anew for each request. HTTP/2, which has `:authority` instead, comes with TLS only.
    if let (Some("http"), Some(host)) = (address.uri.scheme_str(), address.uri.authority()) {
        headers.insert(HOST, header_value(&HOST, host.as_str(), false, entities::Place::default())?);
    }
    headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
    headers.insert(ACCEPT_ENCODING, HeaderValue::from_static(ACCEPTED));
    headers.insert(USER_AGENT, header_value(&USER_AGENT, user_agent, false, entities::Place::default())?);
    if let Some(kind) = body.content_type() {
        headers.insert(CONTENT_TYPE, kind);
    }
    Ok(headers)
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
