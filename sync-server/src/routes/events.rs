//! `GET /v1/events`: pokes by SSE. A poke says "ask", never what; losing one loses nothing.

use super::{Device, bearer};
use crate::{App, auth, error::Error};
use axum::{
    extract::State,
    http::HeaderMap,
    response::{
        IntoResponse, Response,
        sse::{Event, Sse},
    },
};
use std::{convert::Infallible, sync::Arc, time::Duration};
use tokio::sync::broadcast::error::RecvError;

/// How often a silent stream says that it lives, and asks whether its device still may listen.
const ALIVE: Duration = Duration::from_secs(25);

/// Counts a listener for as long as its stream lives.
struct Listening(Arc<App>);

impl Drop for Listening {
    fn drop(&mut self) {
        let left = self.0.listeners.fetch_sub(1, std::sync::atomic::Ordering::Relaxed) - 1;
        metrics::gauge!("onsite_sse_clients").set(left as f64);
    }
}

pub(super) async fn events(
    State(app): State<Arc<App>>,
    Device(session): Device,
    headers: HeaderMap,
) -> Result<Response, Error> {
    let before = app.listeners.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    let listening = Listening(Arc::clone(&app));
    if before >= app.config.limits.event_listeners {
        return Err(Error::Busy { retry_after: 30_000 });
    }
    metrics::gauge!("onsite_sse_clients").set((before + 1) as f64);
    let token = bearer(&headers).unwrap_or_default().to_owned();
    let pokes = app.ledger.hub().listen(session.tenant);
    let state = (app, listening, pokes, session, token, true, false);
    let stream =
        futures_util::stream::unfold(state, |(app, listening, mut pokes, session, token, first, ended)| async move {
            if ended {
                return None;
            }
            // The first poke at once: what happened before the stream stood is not missed.
            let mut what = Some("poke");
            if !first {
                what = loop {
                    tokio::select! {
                        () = app.stopping.cancelled() => return None,
                        poke = tokio::time::timeout(ALIVE, pokes.recv()) => match poke {
                            Err(_) => break None,
                            Ok(Ok(poke)) if poke.concerns(session.staff) => break Some("poke"),
                            Ok(Ok(_)) => {}
                            Ok(Err(RecvError::Lagged(_))) => break Some("poke"),
                            Ok(Err(RecvError::Closed)) => return None,
                        }
                    }
                };
            }
            let event = match auth::session(&app.ledger, &token).await {
                Ok(_) => match what {
                    Some(what) => Event::default().event(what).data(""),
                    None => Event::default().comment("alive"),
                },
                Err(e) => {
                    let event = Event::default().event("end").data(e.code());
                    return Some((Ok::<_, Infallible>(event), (app, listening, pokes, session, token, false, true)));
                }
            };
            Some((Ok(event), (app, listening, pokes, session, token, false, false)))
        });
    Ok(Sse::new(stream).into_response())
}
