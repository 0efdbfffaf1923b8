//! `POST /v1/sync`: one CBOR message each way.

use super::{Device, content_type};
use crate::{App, error::Error, storage::SyncNote};
use axum::{
    body::Bytes,
    extract::State,
    http::{HeaderMap, header},
    response::{IntoResponse, Response},
};
use onsite_core::sync::protocol::{Fate, MAX_BLOBS, SyncRequest, VERSION};
use std::sync::Arc;

/// The media type both ways.
pub(super) const CBOR: &str = "application/cbor";

/// Reads a whole body as one message; what follows it is refused too.
pub(crate) fn decode(body: &[u8]) -> Result<SyncRequest, Error> {
    let bad = |why: String| Error::bad("bad_body", "", why);
    let mut d = minicbor_serde::Deserializer::new(body);
    let request = <SyncRequest as serde::Deserialize>::deserialize(&mut d)
        .map_err(|e| bad(format!("not a sync message: {e}")))?;
    match d.decoder().position() {
        end if end == body.len() => Ok(request),
        end => Err(bad(format!("{} bytes too many after the message", body.len() - end))),
    }
}

pub(super) async fn sync(
    State(app): State<Arc<App>>,
    Device(session): Device,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, Error> {
    content_type(&headers, CBOR)?;
    let request = decode(&body)?;
    if request.v != VERSION {
        let detail = format!("protocol version {}; this server speaks {VERSION}", request.v);
        return Err(Error::bad("unsupported_version", "v", detail));
    }
    let pushed: usize = request.push.iter().map(|p| p.changes.len()).sum();
    let mut note = SyncNote {
        at: app.ledger.env().now(),
        app: request.app.chars().take(100).collect(),
        offset: app.ledger.env().now().since(request.clock),
        pushed: pushed as u64,
        accepted: 0,
        refused: 0,
        delivered: 0,
        bytes_in: body.len() as u64,
        bytes_out: 0,
        unsent: request.account.changes,
        error: String::new(),
    };
    let asked = request.blobs.clone();
    if asked.len() > MAX_BLOBS {
        return Err(Error::bad("too_many_blobs", "blobs", format!("at most {MAX_BLOBS} at once")));
    }
    let (tenant, device) = (session.tenant, session.device);
    // On its own task: a push whose sender hangs up is finished all the same.
    let ledger = app.ledger.clone();
    let done = tokio::spawn(async move { ledger.sync(&session, request).await })
        .await
        .map_err(|e| Error::Internal(format!("sync: {e}")))?;
    let mut answer = match done {
        Ok(answer) => answer,
        Err(e) => {
            app.sync_log.note(tenant, device, SyncNote { error: e.code().into(), ..note });
            return Err(e);
        }
    };
    answer.lost = app.blobs.lacking(tenant, app.ledger.storage(), &asked).await?;
    let count = |f: fn(&Fate) -> bool| answer.verdicts.iter().filter(|v| f(&v.fate)).count() as u64;
    if pushed > 0 {
        metrics::counter!("onsite_pushes_total").increment(1);
        metrics::counter!("onsite_changes_total", "fate" => "accepted")
            .increment(count(|f| matches!(f, Fate::Accepted)));
        metrics::counter!("onsite_changes_total", "fate" => "set_aside")
            .increment(count(|f| matches!(f, Fate::SetAside { .. })));
        metrics::counter!("onsite_changes_total", "fate" => "again")
            .increment(count(|f| matches!(f, Fate::NeedDeps(_) | Fate::Later | Fate::ActorReused)));
    }
    note.accepted = count(|f| matches!(f, Fate::Accepted));
    note.refused = count(|f| matches!(f, Fate::SetAside { .. }));
    note.delivered = answer.docs.len() as u64;
    let body = minicbor_serde::to_vec(&answer).map_err(|e| Error::Internal(format!("answer: {e}")))?;
    note.bytes_out = body.len() as u64;
    app.sync_log.note(tenant, device, note);
    Ok(([(header::CONTENT_TYPE, CBOR)], body).into_response())
}
