//! Lists to be saved as files, read and sent page by page.

use super::openapi::Binary;
use super::{Asked, Office, Tongue};
use crate::office::export::{Conditions, Export, List, list_of};
use crate::sheets::{BOM, Cell, Form, Sheet, csv_row};
use crate::storage::Audit;
use crate::{App, auth, error::Error};
use axum::{
    body::{Body, Bytes},
    extract::{Path, State},
    http::{HeaderValue, header},
    response::{IntoResponse, Response},
};
use futures_util::{StreamExt as _, stream};
use onsite_core::domain::{Date, DocId, Role, StaffId, Zone};
use serde::Deserialize;
use std::io::{Seek as _, SeekFrom};
use std::sync::Arc;
use utoipa::IntoParams;

/// Who reads the audit chain.
const MANAGERS: [Role; 2] = [Role::Admin, Role::ServiceManager];
/// Pages of rows that wait for the workbook.
const WAITING: usize = 2;

/// Exports at once: each reads a whole list.
static EXPORTING: tokio::sync::Semaphore = tokio::sync::Semaphore::const_new(4);

/// Which rows are asked for, and how they are written.
#[derive(Deserialize, Default, IntoParams)]
#[serde(default)]
#[into_params(parameter_in = Query)]
pub(super) struct ExportAsked {
    /// `csv` (where absent) or `xlsx`.
    form: Form,
    /// In this state; of proposals `waiting`, `unknown`, `not_met` or `decided`; of phones in `use`, with `unsent`
    /// work, `silent`, with edits `refused`, or `revoked`.
    status: Option<String>,
    /// Without jobs and requests with which nobody has anything left to do, and such jobs' visits.
    unfinished: bool,
    /// Of this quarter, such as `2026Q3`: proposals.
    quarter: Option<String>,
    /// Concerning this person.
    person: Option<StaffId>,
    /// Hanging on this document.
    parent: Option<DocId>,
    /// Holding these words.
    search: Option<String>,
    /// Only with a flag.
    flagged: bool,
    /// Only with clashes.
    clashes: bool,
    /// First day.
    from: Option<Date>,
    /// Last day.
    to: Option<Date>,
}

/// A list as a file, its headings in the asker's language. The audit chain is for the admin and the service
/// manager. That it was taken is in the audit chain.
#[utoipa::path(
    get,
    path = "/api/export/{list}",
    tag = "files",
    operation_id = "export",
    params(("list" = List, Path, description = "Which list"), ExportAsked, ("lang" = Option<String>, Query, description = "`zh-CN` or `en`; where absent, as the browser prefers")),
    responses((status = 200, content(
        (String = "text/csv"),
        (Binary = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"),
    ))),
)]
pub(super) async fn export(
    State(app): State<Arc<App>>,
    Office(who): Office,
    Tongue(lang): Tongue,
    Asked(asked): Asked<ExportAsked>,
    Path(list): Path<String>,
) -> Result<Response, Error> {
    let list = list_of(&list)?;
    if list == List::Audit {
        auth::require(&who.author, &MANAGERS)?;
    }
    let turn = EXPORTING.try_acquire().map_err(|_| Error::Busy { retry_after: 5_000 })?;
    let form = asked.form;
    let conditions = Conditions {
        status: asked.status,
        unfinished: asked.unfinished,
        quarter: super::appraisals::quarter(asked.quarter.as_deref())?,
        person: asked.person,
        parent: asked.parent,
        search: asked.search,
        flagged: asked.flagged,
        clashes: asked.clashes,
        from: asked.from,
        to: asked.to,
    };
    let now = app.ledger.env().now();
    let entry = Audit {
        at: now,
        by: who.author.staff,
        action: "export".into(),
        subject: list.word().into(),
        detail: serde_json::json!({
            "form": form.ending(), "status": conditions.status, "person": conditions.person,
            "parent": conditions.parent, "search": conditions.search, "from": conditions.from, "to": conditions.to,
            "flagged": conditions.flagged, "clashes": conditions.clashes, "unfinished": conditions.unfinished,
            "quarter": conditions.quarter,
        }),
    };
    let mut export = Export::open(&app.ledger, who.tenant, list, lang, conditions).await?;
    // What cannot be read is said before the file begins.
    let first = export.next().await?;
    app.ledger.storage().audit(who.tenant, vec![entry]).await?;
    let settings = crate::office::settings(&app.ledger, who.tenant).await?;
    let day = Zone::of(&settings).day(now);
    let headings = export.headings();
    let mut response = match form {
        Form::Csv => {
            let head: Vec<Cell> = headings.iter().map(Into::into).collect();
            let mut begin = [BOM.as_bytes(), &csv_row(&head)?].concat();
            begin.extend(lines(first)?);
            let rest = stream::try_unfold((export, turn), |(mut export, turn)| async move {
                let Some(rows) = export.next().await? else { return Ok::<_, Error>(None) };
                Ok(Some((Bytes::from(lines(Some(rows))?), (export, turn))))
            });
            Body::from_stream(stream::once(async { Ok(Bytes::from(begin)) }).chain(rest)).into_response()
        }
        Form::Xlsx => {
            let file = workbook(export, first, list.title(lang), headings).await?;
            drop(turn);
            let size = file.metadata().map_err(Error::from)?.len();
            let body = tokio_util::io::ReaderStream::new(tokio::fs::File::from_std(file));
            ([(header::CONTENT_LENGTH, size)], Body::from_stream(body)).into_response()
        }
    };
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(form.media_type()));
    let name = format!("onsite-{}-{day}.{}", list.word(), form.ending());
    if let Ok(value) = HeaderValue::from_str(&format!("attachment; filename=\"{name}\"")) {
        headers.insert(header::CONTENT_DISPOSITION, value);
    }
    Ok(response)
}

fn lines(rows: Option<Vec<Vec<Cell>>>) -> Result<Vec<u8>, Error> {
    let mut out = Vec::new();
    for row in rows.unwrap_or_default() {
        out.extend(csv_row(&row)?);
    }
    Ok(out)
}

/// A workbook in a file without a name, which is gone when it has been sent.
async fn workbook(
    mut export: Export,
    first: Option<Vec<Vec<Cell>>>,
    title: &'static str,
    headings: Vec<String>,
) -> Result<std::fs::File, Error> {
    let (send, mut pages) = tokio::sync::mpsc::channel::<Vec<Vec<Cell>>>(WAITING);
    let writing = tokio::task::spawn_blocking(move || {
        let mut sheet = Sheet::new(title, &headings)?;
        while let Some(rows) = pages.blocking_recv() {
            for row in rows {
                sheet.add(&row)?;
            }
        }
        let mut file = tempfile::tempfile()?;
        sheet.finish(&mut file)?;
        file.seek(SeekFrom::Start(0))?;
        Ok::<_, Error>(file)
    });
    let mut next = first;
    while let Some(rows) = next {
        // The writer has stopped: its own error says why.
        if send.send(rows).await.is_err() {
            break;
        }
        next = export.next().await?;
    }
    drop(send);
    writing.await.map_err(|e| Error::Internal(format!("workbook: {e}")))?
}
