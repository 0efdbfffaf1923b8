//! Customers and machines from files: looked at first, taken then.

use super::openapi::Binary;
use super::{Asked, Office, Shown, Tongue};
use crate::import::{self, Effect, Failed, LineError, MAX_FILE, Plan, PlannedLine};
use crate::office::shown::Said;
use crate::sheets::{self, BOM, Form, Sheet};
use crate::{App, auth, error::Error};
use axum::{
    body::Bytes,
    extract::State,
    http::header,
    response::{IntoResponse, Response},
};
use onsite_core::domain::{Role, Sha256};
use onsite_core::messages::t;
use serde::{Deserialize, Serialize};
use sha2::Digest as _;
use std::sync::Arc;
use utoipa::{IntoParams, ToSchema};

/// Who keeps the customer file.
const DESK: [Role; 2] = [Role::Clerk, Role::ServiceManager];
/// Lines shown of those that come to something.
const LINES: usize = 500;

/// Which file it is.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct FileAsked {
    /// Its name, which tells CSV from XLSX where the bytes do not.
    #[serde(default)]
    filename: String,
}

/// Which file was looked at.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct FileMeant {
    /// Its name.
    #[serde(default)]
    filename: String,
    /// SHA-256 of the file, as its preview said.
    sha256: Sha256,
}

/// What is wrong with a line.
#[derive(Serialize, ToSchema)]
pub(super) struct LineErrorShown {
    /// The line in the file, from 1; 0 for the whole file.
    line: usize,
    /// The column, from 1; 0 for the whole line.
    column: usize,
    /// The column's heading.
    heading: String,
    /// Stable code.
    code: &'static str,
    /// What stood there.
    value: String,
    /// Why, in words.
    said: Said,
}

impl From<LineError> for LineErrorShown {
    fn from(e: LineError) -> Self {
        let said = Said::of(|lang| e.told(lang));
        Self { line: e.line, column: e.column, heading: e.heading, code: e.code, value: e.value, said }
    }
}

/// So many of a kind.
#[derive(Serialize, Default, ToSchema)]
pub(super) struct ImportCounts {
    /// Opened.
    new: usize,
    /// Given other contents.
    changed: usize,
    /// Left as they are.
    unchanged: usize,
}

/// What a file comes to.
#[derive(Serialize, ToSchema)]
pub(super) struct ImportShown {
    /// SHA-256 of the file: to be named when it is taken.
    sha256: Sha256,
    /// Whether it can be taken: no line is wrong.
    good: bool,
    /// What is wrong; while there is anything, nothing is taken.
    errors: Vec<LineErrorShown>,
    /// Customers.
    customers: ImportCounts,
    /// Machines.
    equipment: ImportCounts,
    /// Lines that come to something: the first 500.
    lines: Vec<PlannedLine>,
    /// Whether there are more such lines.
    more: bool,
}

impl ImportShown {
    fn of(sha256: Sha256, found: Result<Plan, Vec<LineError>>) -> Self {
        let (plan, errors) = match found {
            Ok(plan) => (plan, Vec::new()),
            Err(errors) => (Plan::default(), errors),
        };
        let codes: std::collections::BTreeSet<&str> = plan.lines.iter().map(|l| l.customer_code.as_str()).collect();
        let still = plan.lines.iter().filter(|l| l.equipment == Some(Effect::Unchanged)).count();
        let (new, changed) = (plan.customers_new, plan.customers_changed);
        let customers = ImportCounts { new, changed, unchanged: codes.len().saturating_sub(new + changed) };
        let equipment = ImportCounts { new: plan.equipment_new, changed: plan.equipment_changed, unchanged: still };
        let mut lines: Vec<PlannedLine> = plan.lines.into_iter().filter(|l| !l.idle()).collect();
        let more = lines.len() > LINES;
        lines.truncate(LINES);
        let good = errors.is_empty();
        Self { sha256, good, errors: errors.into_iter().map(Into::into).collect(), customers, equipment, lines, more }
    }
}

fn hash(file: &Bytes) -> Sha256 {
    Sha256(sha2::Sha256::digest(file).into())
}

fn within(file: &Bytes) -> Result<(), Error> {
    if file.len() > MAX_FILE {
        return Err(Error::TooLarge(format!("{} bytes; at most {MAX_FILE} are taken", file.len())));
    }
    Ok(())
}

/// Looks at a file, which is the body: what is wrong with it, or what it would do. Takes nothing.
#[utoipa::path(
    post,
    path = "/api/import/customers/preview",
    tag = "files",
    operation_id = "import_preview",
    params(FileAsked),
    request_body(content = Binary, content_type = "application/octet-stream", description = "The file: CSV or XLSX"),
    responses((status = 200, body = ImportShown)),
)]
pub(super) async fn preview(
    State(app): State<Arc<App>>,
    Office(who): Office,
    Asked(asked): Asked<FileAsked>,
    file: Bytes,
) -> Result<Shown<ImportShown>, Error> {
    auth::require(&who.author, &DESK)?;
    within(&file)?;
    let found = match import::run(&app.ledger, who.tenant, &who.author, &file, &asked.filename, true).await {
        Ok(plan) => Ok(plan),
        Err(Failed::Lines(errors)) => Err(errors),
        Err(Failed::Server(e)) => return Err(e),
    };
    Ok(Shown(ImportShown::of(hash(&file), found)))
}

/// Takes the file that was looked at, whole or not at all. Taking it again changes nothing.
#[utoipa::path(
    post,
    path = "/api/import/customers",
    tag = "files",
    operation_id = "import_customers",
    params(FileMeant),
    request_body(content = Binary, content_type = "application/octet-stream", description = "The file: CSV or XLSX"),
    responses((status = 200, body = ImportShown)),
)]
pub(super) async fn take(
    State(app): State<Arc<App>>,
    Office(who): Office,
    Asked(meant): Asked<FileMeant>,
    file: Bytes,
) -> Result<Shown<ImportShown>, Error> {
    auth::require(&who.author, &DESK)?;
    within(&file)?;
    let sha256 = hash(&file);
    if sha256 != meant.sha256 {
        let detail = "this is not the file that was looked at: look at it again".into();
        return Err(Error::Conflict { code: "other_file", detail });
    }
    let (ledger, who) = (app.ledger.clone(), who);
    // Whoever hangs up does not stop it halfway.
    let done =
        tokio::spawn(async move { import::run(&ledger, who.tenant, &who.author, &file, &meant.filename, false).await });
    match done.await.map_err(|e| Error::Internal(format!("import: {e}")))? {
        Ok(plan) => Ok(Shown(ImportShown::of(sha256, Ok(plan)))),
        Err(Failed::Lines(errors)) => {
            let first = errors.first().map(ToString::to_string).unwrap_or_default();
            Err(Error::bad("bad_lines", "", format!("{} bad lines, nothing was taken: {first}", errors.len())))
        }
        Err(Failed::Server(e)) => Err(e),
    }
}

/// In which form the template is wanted.
#[derive(Deserialize, Default, IntoParams)]
#[serde(default)]
#[into_params(parameter_in = Query)]
pub(super) struct TemplateAsked {
    /// `csv` or `xlsx`.
    form: Form,
}

/// An empty file to be filled in; a workbook says in a second sheet what belongs where.
#[utoipa::path(
    get,
    path = "/api/import/customers/template",
    tag = "files",
    operation_id = "import_template",
    params(TemplateAsked, ("lang" = Option<String>, Query, description = "`zh-CN` or `en`; where absent, as the browser prefers")),
    responses((status = 200, content(
        (String = "text/csv"),
        (Binary = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"),
    ))),
)]
pub(super) async fn template(
    Office(_who): Office,
    Tongue(lang): Tongue,
    Asked(asked): Asked<TemplateAsked>,
) -> Result<Response, Error> {
    let columns = import::template(lang);
    let headings: Vec<String> = columns.iter().map(|c| c.heading.to_owned()).collect();
    let bytes = match asked.form {
        Form::Csv => {
            let head: Vec<sheets::Cell> = headings.iter().map(Into::into).collect();
            [BOM.as_bytes(), &sheets::csv_row(&head)?].concat()
        }
        Form::Xlsx => {
            let mut sheet = Sheet::new(t(lang, "import.sheet"), &headings)?;
            let about: Vec<[&str; 2]> = columns.iter().map(|c| [c.heading, c.about]).collect();
            sheet.explain(t(lang, "import.explained"), &about)?;
            let mut out = std::io::Cursor::new(Vec::new());
            sheet.finish(&mut out)?;
            out.into_inner()
        }
    };
    let name = format!("attachment; filename=\"onsite-customers.{}\"", asked.form.ending());
    let kind = asked.form.media_type();
    Ok(([(header::CONTENT_TYPE, kind), (header::CONTENT_DISPOSITION, name.as_str())], bytes).into_response())
}
