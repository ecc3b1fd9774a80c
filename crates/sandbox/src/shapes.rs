//! Small APIs, each in the shape of a kind of real one: its way to sign in, to page, to ask for what is new. Their
//! data grow, and `_expected` says what a client that read everything must hold by now.
//!
//! Each API is a file with its routes (`answer`) and its truth (`expected`), which shares the records with them and
//! nothing of the paging. None is a model of a vendor.

mod billing;
mod boards;
mod catalog;
mod crm;
mod fitness;
mod formats;
mod forms;
mod graph;
mod helpdesk;
mod listing; //   what most of them do: select, sort, cut into pages
mod payments;
mod rates;
mod signed;
mod telemetry;
mod tokens; //    token endpoints and login sessions
mod trades;
mod warehouse;
mod world; //     the things, and how they change

use std::io;

use http::{Method, StatusCode};
use serde_json::{Value, json};

use crate::answer::{self, Answer, refusal};
use crate::ask::Ask;
use crate::credential::Credential;
use crate::mount::Mount;
use crate::server::wall_clock;

pub(crate) use world::State;
use world::World;

/// Which API.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shape {
    Helpdesk,
    Forms,
    Billing,
    Boards,
    Crm,
    Fitness,
    Warehouse,
    Telemetry,
    Payments,
    Rates,
    Graph,
    Trades,
    Signed,
    Formats,
    Catalog,
}

impl Shape {
    pub(crate) const ALL: [(&str, Shape); 15] = [
        ("helpdesk", Shape::Helpdesk),
        ("forms", Shape::Forms),
        ("billing", Shape::Billing),
        ("boards", Shape::Boards),
        ("crm", Shape::Crm),
        ("fitness", Shape::Fitness),
        ("warehouse", Shape::Warehouse),
        ("telemetry", Shape::Telemetry),
        ("payments", Shape::Payments),
        ("rates", Shape::Rates),
        ("graph", Shape::Graph),
        ("trades", Shape::Trades),
        ("signed", Shape::Signed),
        ("formats", Shape::Formats),
        ("catalog", Shape::Catalog),
    ];

    pub(crate) fn named(name: &str) -> Option<Shape> {
        Shape::ALL.iter().find(|(known, _)| *known == name).map(|(_, shape)| *shape)
    }
}

/// The credential that a dataset wants if its options name none.
pub(crate) fn credential(dataset: &str) -> Option<Credential> {
    let wanted = match dataset {
        "helpdesk" | "telemetry" | "graph" => "bearer:practice-key",
        "forms" => "key:header:X-Api-Key:practice-key",
        "billing" => "basic:practice:practice-secret",
        "boards" => "key:query:key:practice-key",
        "payments" => "basic:sk_practice:",
        "rates" => "key:query:access_key:practice-key",
        "trades" => "key:body:token:practice-key",
        _ => return None,
    };
    Credential::parse(wanted)
}

/// Whether an answer of this request uses up what the client holds.
pub(crate) fn gives_tokens(ask: &Ask<'_>) -> bool {
    ask.method == Method::POST && matches!(ask.rest, "/oauth/token" | "/session")
}

/// The pages of the test, not of the API: nothing stands before them.
pub(crate) fn control(shape: Shape, mount: &Mount, ask: &Ask<'_>) -> Option<Answer> {
    match ask.rest {
        "/_grow" if ask.method == Method::POST => {
            let grown = mount.state.grow(wall_clock());
            Some(answer::json(json!({ "generation": grown + 1 }).to_string()))
        }
        "/_expected" => Some(answer::json(expected(shape, &World::of(mount)).to_string())),
        _ => None,
    }
}

/// Answers a request.
pub(crate) async fn answer(shape: Shape, mount: &Mount, ask: &Ask<'_>) -> io::Result<Answer> {
    let world = World::of(mount);
    let outcome = match shape {
        Shape::Helpdesk => helpdesk::answer(&world, ask),
        Shape::Forms => forms::answer(&world, ask),
        Shape::Billing => billing::answer(&world, ask),
        Shape::Boards => boards::answer(&world, ask),
        Shape::Crm => crm::answer(mount, &world, ask),
        Shape::Fitness => fitness::answer(mount, &world, ask),
        Shape::Warehouse => warehouse::answer(mount, &world, ask),
        Shape::Telemetry => telemetry::answer(&world, ask),
        Shape::Payments => payments::answer(&world, ask),
        Shape::Rates => rates::answer(&world, ask),
        Shape::Graph => graph::answer(mount, &world, ask),
        Shape::Trades => trades::answer(&world, ask),
        Shape::Signed => signed::answer(&world, ask),
        Shape::Formats => Ok(formats::answer(&world, ask).await?),
        Shape::Catalog => catalog::answer(&world, ask),
    };
    Ok(outcome.unwrap_or_else(|problem| refusal(StatusCode::BAD_REQUEST, &problem)))
}

/// All rows by table, as a plan in `plans/shapes/` lands them.
fn expected(shape: Shape, world: &World) -> Value {
    match shape {
        Shape::Helpdesk => helpdesk::expected(world),
        Shape::Forms => forms::expected(world),
        Shape::Billing => billing::expected(world),
        Shape::Boards => boards::expected(world),
        Shape::Crm => crm::expected(world),
        Shape::Fitness => fitness::expected(world),
        Shape::Warehouse => warehouse::expected(world),
        Shape::Telemetry => telemetry::expected(world),
        Shape::Payments => payments::expected(world),
        Shape::Rates => rates::expected(world),
        Shape::Graph => graph::expected(world),
        Shape::Trades => trades::expected(world),
        Shape::Signed => signed::expected(world),
        Shape::Formats => formats::expected(world),
        Shape::Catalog => catalog::expected(world),
    }
}

fn missing() -> Answer {
    refusal(StatusCode::NOT_FOUND, "no such resource; GET / lists the routes")
}
