//! Pokes by SSE; losing one loses nothing. To phones (`GET /v1/events`) they say "ask", never what;
//! to the office (`GET /api/events`) which documents changed.

use super::{Device, Office, bearer, cookie};
use crate::ledger::{News, Poke};
use crate::{App, auth, error::Error};
use axum::{
    extract::State,
    http::HeaderMap,
    response::{
        IntoResponse, Response,
        sse::{Event, Sse},
    },
};
use onsite_core::domain::{DocRef, TenantId};
use serde::Serialize;
use std::{convert::Infallible, sync::Arc, time::Duration};
use tokio::sync::broadcast::{Receiver, error::RecvError};
use utoipa::ToSchema;

/// How often a silent stream says that it lives, and asks whether its device still may listen.
const ALIVE: Duration = Duration::from_secs(25);
/// How long what else changes is waited for, once something has: many phones may come back at once.
const GATHER: Duration = Duration::from_millis(150);

/// Counts a listener for as long as its stream lives.
struct Listening(Arc<App>);

impl Listening {
    fn begin(app: &Arc<App>) -> Result<Self, Error> {
        let before = app.listeners.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let listening = Self(Arc::clone(app));
        if before >= app.config.limits.event_listeners {
            return Err(Error::Busy { retry_after: 30_000 });
        }
        metrics::gauge!("onsite_sse_clients").set((before + 1) as f64);
        Ok(listening)
    }
}

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
    let listening = Listening::begin(&app)?;
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

/// What changed, as the event `changed` tells it.
#[derive(Serialize, ToSchema)]
pub(super) struct Changed {
    /// The log's last number.
    head: u64,
    /// The documents that changed, or whose rows did.
    docs: Vec<DocRef>,
    /// Phones changed, or what they say of themselves.
    devices: bool,
    /// Refused edits came, or were decided about.
    set_aside: bool,
}

/// An open page's stream.
struct Watching {
    app: Arc<App>,
    _listening: Listening,
    pokes: Receiver<Poke>,
    tenant: TenantId,
    secret: String,
    /// What is said first, where nothing was said yet.
    first: Option<&'static str>,
    ended: bool,
}

/// Why a stream's wait was over.
enum Woken {
    /// Something changed.
    News(u64, News),
    /// More changed than was heard.
    Lagged,
    /// Nothing for a while.
    Silence,
    /// The server stops.
    Over,
}

impl Watching {
    async fn wait(&mut self) -> Woken {
        let stopping = self.app.stopping.clone();
        let (mut head, mut news) = tokio::select! {
            () = stopping.cancelled() => return Woken::Over,
            poke = tokio::time::timeout(ALIVE, self.pokes.recv()) => match poke {
                Err(_) => return Woken::Silence,
                Ok(Ok(poke)) => (poke.head, (*poke.news).clone()),
                Ok(Err(RecvError::Lagged(_))) => return Woken::Lagged,
                Ok(Err(RecvError::Closed)) => return Woken::Over,
            }
        };
        let until = tokio::time::Instant::now() + GATHER;
        loop {
            match tokio::time::timeout_at(until, self.pokes.recv()).await {
                Ok(Ok(poke)) => {
                    head = head.max(poke.head);
                    news.add(&poke.news);
                }
                Ok(Err(RecvError::Lagged(_))) => return Woken::Lagged,
                Ok(Err(RecvError::Closed)) | Err(_) => return Woken::News(head, news),
            }
        }
    }

    async fn event(&mut self) -> Option<Event> {
        let woken = match self.first {
            Some(_) => Woken::Silence,
            None => self.wait().await,
        };
        // A page left open is no use of the session: the idle limit goes on.
        if let Err(e) = auth::office_still(&self.app.ledger, &self.secret, &self.app.config.auth).await {
            self.ended = true;
            return Some(Event::default().event("end").data(e.code()));
        }
        let epoch = self.app.ledger.storage().tenant(self.tenant).await.ok().flatten().map_or(0, |t| t.epoch);
        Some(match woken {
            Woken::Over => return None,
            Woken::Lagged => Event::default().event("resync").data(""),
            Woken::Silence => match self.first.take() {
                Some(word) => Event::default().event(word).id(epoch.to_string()).data(""),
                None => Event::default().comment("alive"),
            },
            Woken::News(_, news) if news.more => Event::default().event("resync").data(""),
            Woken::News(head, news) => {
                let News { docs, devices, set_aside, .. } = news;
                let changed = Changed { head, docs: docs.into_iter().collect(), devices, set_aside };
                let event = Event::default().event("changed").id(epoch.to_string());
                event.json_data(changed).unwrap_or_else(|_| Event::default().event("resync").data(""))
            }
        })
    }
}

/// What changes in the company, as it does. Events: `hello` once the stream stands (load after it, and nothing is
/// missed), `resync` where changes may have been missed (after a reconnection, or where there were too many: load
/// anew what is shown), `changed` with what changed, `end` where the session has ended.
#[utoipa::path(
    get,
    path = "/api/events",
    tag = "desk",
    params(("last-event-id" = Option<String>, Header, description = "Set by the browser when it reconnects")),
    responses((status = 200, body = Changed, content_type = "text/event-stream")),
)]
pub(super) async fn office_events(
    State(app): State<Arc<App>>,
    Office(who): Office,
    headers: HeaderMap,
) -> Result<Response, Error> {
    let watching = Watching {
        _listening: Listening::begin(&app)?,
        pokes: app.ledger.hub().listen(who.tenant),
        tenant: who.tenant,
        secret: cookie(&app, &headers).unwrap_or_default(),
        first: Some(if headers.contains_key("last-event-id") { "resync" } else { "hello" }),
        ended: false,
        app,
    };
    let stream = futures_util::stream::unfold(watching, |mut watching| async move {
        if watching.ended {
            return None;
        }
        Some((Ok::<_, Infallible>(watching.event().await?), watching))
    });
    Ok(Sse::new(stream).into_response())
}
