//! Figures of the process, for Prometheus.

use axum::http::{Method, StatusCode};
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};
use std::{sync::OnceLock, time::Duration};

static RECORDER: OnceLock<Option<PrometheusHandle>> = OnceLock::new();

/// Installs the recorder, once in a process. Without one (somebody else's is
/// installed) figures go there and `/metrics` is empty.
pub fn install() {
    let handle = RECORDER.get_or_init(|| {
        let buckets = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];
        PrometheusBuilder::new().set_buckets(&buckets).and_then(PrometheusBuilder::install_recorder).ok()
    });
    if handle.is_some() {
        metrics::describe_counter!("onsite_requests_total", "Requests by method, route and status");
        metrics::describe_histogram!("onsite_request_seconds", "Time to answer, by route");
        metrics::describe_counter!("onsite_pushes_total", "Sync messages that carried changes");
        metrics::describe_counter!("onsite_changes_total", "Changes pushed, by fate");
        metrics::describe_counter!("onsite_blobs_stored_total", "Blobs stored");
        metrics::describe_counter!("onsite_gate_trials_total", "Documents tried with foreign changes");
        metrics::describe_counter!("onsite_gate_workers_started_total", "Worker processes of the gate started");
        metrics::describe_counter!("onsite_gate_refused_total", "Trials that no worker survived");
        metrics::describe_gauge!("onsite_sse_clients", "Listeners to /v1/events");
        metrics::describe_gauge!("onsite_push_queue", "Pushes waiting to be committed");
        metrics::describe_histogram!("onsite_commit_seconds", "Time of a commit");
    }
}

/// Counts a request.
pub(crate) fn request(method: &Method, route: &str, status: StatusCode, took: Duration) {
    // Methods of one's own making would make a series each.
    let method = match method.as_str() {
        m @ ("GET" | "HEAD" | "POST" | "PATCH" | "DELETE" | "OPTIONS" | "PUT") => m.to_owned(),
        _ => "other".to_owned(),
    };
    metrics::counter!("onsite_requests_total", "method" => method, "route" => route.to_owned(), "status" => status.as_u16().to_string())
        .increment(1);
    metrics::histogram!("onsite_request_seconds", "route" => route.to_owned()).record(took.as_secs_f64());
}

/// Keeps the recorder small; called now and then.
pub(crate) fn upkeep() {
    if let Some(Some(handle)) = RECORDER.get() {
        handle.run_upkeep();
    }
}

/// The figures as text.
pub(crate) fn render() -> String {
    RECORDER.get().and_then(Option::as_ref).map(PrometheusHandle::render).unwrap_or_default()
}
