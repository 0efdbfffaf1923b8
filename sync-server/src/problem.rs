//! Errors on the wire: RFC 9457 problem details, each with a stable code.

use crate::error::Error;
use axum::{
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde::Serialize;
use utoipa::ToSchema;

/// The media type.
pub const PROBLEM: &str = "application/problem+json";

/// What went wrong.
#[derive(Serialize, ToSchema)]
pub struct Problem<'a> {
    /// `about:blank`: the code says more than an address would.
    r#type: &'static str,
    /// The status in words.
    title: &'a str,
    /// The HTTP status.
    status: u16,
    /// Why, for people; in English.
    detail: &'a str,
    /// Stable code: what programs act on.
    code: &'a str,
    /// The field concerned, if one.
    #[serde(skip_serializing_if = "str::is_empty")]
    field: &'a str,
    /// What a device is to do; `wipe` for a revoked one.
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    orders: &'a [&'static str],
}

/// A problem document. What it says is meant for the one who asked: nothing of the inside.
pub fn problem(status: StatusCode, code: &str, field: &str, detail: &str, retry_after: Option<i64>) -> Response {
    let body = Problem {
        r#type: "about:blank",
        title: status.canonical_reason().unwrap_or("Error"),
        status: status.as_u16(),
        detail,
        code,
        field,
        orders: if code == "device_revoked" { &["wipe"] } else { &[] },
    };
    let body = serde_json::to_string(&body).unwrap_or_default();
    let mut response = (status, [(header::CONTENT_TYPE, PROBLEM)], body).into_response();
    if let Some(ms) = retry_after {
        response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from((ms.max(0) as u64).div_ceil(1000).max(1)));
    }
    if status == StatusCode::UNAUTHORIZED {
        response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    }
    response
}

/// The code of a status that nobody gave one.
pub(crate) fn code_of(status: StatusCode) -> &'static str {
    match status.as_u16() {
        400 => "bad_request",
        401 => "unauthorized",
        403 => "forbidden",
        404 => "not_found",
        405 => "method_not_allowed",
        408 => "timeout",
        411 => "length_required",
        413 => "too_large",
        415 => "bad_content_type",
        416 => "bad_range",
        422 => "unprocessable",
        429 => "busy",
        503 => "unavailable",
        s if s < 500 => "refused",
        _ => "internal",
    }
}

impl IntoResponse for Error {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        // Logged once, here: what the asker cannot mend, with what they are not told.
        if status.is_server_error() {
            tracing::error!(code = self.code(), error = %self, "request failed");
        }
        let (field, retry_after) = match &self {
            Error::Bad { field, .. } => (field.as_str(), None),
            Error::Refused(r) => (r.field.as_str(), None),
            Error::Busy { retry_after } => ("", Some(*retry_after)),
            Error::Locked | Error::OutOfMemory | Error::Moved => ("", Some(1000)),
            Error::DiskFull => ("", Some(60_000)),
            _ => ("", None),
        };
        let detail = match &self {
            Error::Refused(r) => r.detail.clone(),
            Error::Database(_) | Error::File(_) | Error::Internal(_) | Error::Damaged(_) => {
                "the server failed; its log says why".to_owned()
            }
            other => other.to_string(),
        };
        problem(status, self.code(), field, &detail, retry_after)
    }
}
