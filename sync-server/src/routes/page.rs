//! The forms as paper, for printing.

use super::{Office, id};
use crate::{App, auth::OfficeSession, error::Error, office, storage::View};
use axum::{
    extract::{FromRequestParts, Path, State},
    http::request::Parts,
    response::{Html, IntoResponse, Redirect, Response},
};
use onsite_core::domain::{Customer, DocId, Kind, Record, Settings, StaffId, Visit, VisitId, WorkOrder};
use onsite_core::{forms, messages::Language};
use std::{collections::HashMap, convert::Infallible, sync::Arc};

/// The form's language: `?lang=en`, else Chinese.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Lang(Language);

impl FromRequestParts<Arc<App>> for Lang {
    type Rejection = Infallible;
    async fn from_request_parts(parts: &mut Parts, _: &Arc<App>) -> Result<Self, Infallible> {
        let english = parts.uri.query().unwrap_or_default().split('&').any(|p| p == "lang=en");
        Ok(Self(if english { Language::En } else { Language::ZhCn }))
    }
}

/// Somebody signed in, or the way to the sign-in.
pub(super) struct Reader(OfficeSession);

impl FromRequestParts<Arc<App>> for Reader {
    type Rejection = Response;
    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, Response> {
        match Office::from_request_parts(parts, app).await {
            Ok(Office(who)) => Ok(Self(who)),
            Err(Error::Unauthorized(_)) => Err(Redirect::to("/login").into_response()),
            Err(e) => Err(e.into_response()),
        }
    }
}

/// What a company's forms need of it.
struct Company {
    settings: Settings,
    names: HashMap<StaffId, String>,
}

impl Company {
    async fn of(app: &App, who: &OfficeSession) -> Result<Self, Error> {
        let settings = office::settings(&app.ledger, who.tenant).await?;
        let names = office::names(&app.ledger, who.tenant).await?;
        Ok(Self { settings, names })
    }

    fn name(&self, id: StaffId) -> String {
        self.names.get(&id).cloned().unwrap_or_default()
    }
}

async fn find(app: &App, who: &OfficeSession, text: &str, kind: Kind) -> Result<View, Error> {
    let found = app.ledger.storage().views(who.tenant, &[id(text)?]).await?.pop();
    found.filter(|v| v.summary.doc.kind == kind).ok_or_else(|| Error::NotFound(format!("no {} {text}", kind.name())))
}

/// The documents a form is made of.
async fn entity<R: Record>(app: &App, who: &OfficeSession, doc: Option<impl Into<DocId>>) -> Result<Option<R>, Error> {
    let Some(doc) = doc else { return Ok(None) };
    let found = app.ledger.storage().views(who.tenant, &[doc.into()]).await?.pop();
    Ok(found.map(|v| v.entity()).transpose()?.and_then(R::unwrap))
}

/// A form: the page brings its own style and no script.
fn form(text: String) -> Response {
    Html(text).into_response()
}

pub(super) async fn print_dispatch(
    State(app): State<Arc<App>>,
    Reader(who): Reader,
    Lang(language): Lang,
    Path(text): Path<String>,
) -> Result<Response, Error> {
    let view = find(&app, &who, &text, Kind::WorkOrder).await?;
    let company = Company::of(&app, &who).await?;
    let order = WorkOrder::unwrap(view.entity()?).unwrap_or_default();
    let ids = app.ledger.storage().children(who.tenant, Kind::Visit, view.summary.doc.id).await?;
    let mut visits = Vec::new();
    for v in app.ledger.storage().views(who.tenant, &ids).await? {
        visits.extend(Visit::unwrap(v.entity()?).map(|visit| (VisitId::from(v.summary.doc.id), visit)));
    }
    let data = forms::dispatch_data(&order, &visits, &|id| company.name(id), &company.settings);
    Ok(form(forms::render_dispatch(&data, language)))
}

pub(super) async fn print_visit(
    State(app): State<Arc<App>>,
    Reader(who): Reader,
    Lang(language): Lang,
    Path(text): Path<String>,
) -> Result<Response, Error> {
    let view = find(&app, &who, &text, Kind::Visit).await?;
    let company = Company::of(&app, &who).await?;
    let visit = Visit::unwrap(view.entity()?).unwrap_or_default();
    let order: Option<WorkOrder> = entity(&app, &who, visit.work_order).await?;
    let request: Option<onsite_core::domain::Request> =
        entity(&app, &who, order.as_ref().and_then(|o| o.request).or(visit.request)).await?;
    let customer = order.as_ref().and_then(|o| o.customer).or_else(|| request.as_ref().and_then(|r| r.customer));
    let customer: Option<Customer> = entity(&app, &who, customer).await?;
    let data = forms::visit_data(
        view.summary.doc.id.into(),
        &visit,
        order.as_ref(),
        request.as_ref(),
        customer.as_ref(),
        &|id| company.name(id),
        &company.settings,
    );
    Ok(form(forms::render_visit(&data, language)))
}
