//! How values look on paper.

use crate::domain::Date;
use crate::messages::{Language, t, tf};
use std::fmt::Write;

/// `2026 年 11 月 24 日`, or the blank line of the paper form.
pub(super) fn date(lang: Language, date: Option<Date>) -> String {
    match date {
        None => t(lang, "form.date_blank").to_owned(),
        Some(d) => {
            let (y, m, day) = match lang {
                Language::ZhCn => (d.year().to_string(), d.month().to_string(), d.day().to_string()),
                Language::En => (d.year().to_string(), format!("{:02}", d.month()), format!("{:02}", d.day())),
            };
            tf(lang, "form.date", &[("y", &y), ("m", &m), ("d", &day)])
        }
    }
}

/// Minutes as days, hours and minutes.
pub fn stay(lang: Language, minutes: i64) -> String {
    if minutes <= 0 {
        return tf(lang, "form.stay_minutes", &[("n", "0")]);
    }
    let parts = [
        ("form.stay_days", minutes / 1440),
        ("form.stay_hours", minutes % 1440 / 60),
        ("form.stay_minutes", minutes % 60),
    ];
    let words: Vec<_> =
        parts.iter().filter(|(_, n)| *n > 0).map(|(k, n)| tf(lang, k, &[("n", &n.to_string())])).collect();
    words.join(" ")
}

/// The first `limit` characters, and whether that was not all.
pub(super) fn cut(text: &str, limit: usize) -> (&str, bool) {
    match text.char_indices().nth(limit) {
        Some((i, _)) => (&text[..i], true),
        None => (text, false),
    }
}

/// Pen strokes as an inline SVG of one polyline per stroke; nothing but
/// numbers of the strokes reaches the markup. What is not a point is passed over.
pub fn strokes_svg(strokes: &str) -> String {
    const MOST_POINTS: usize = 20_000;
    let mut out = String::from(
        r#"<svg class="ink" viewBox="0 0 1000 400" preserveAspectRatio="xMidYMid meet" role="img"><g fill="none" stroke="currentColor" stroke-width="8" stroke-linecap="round" stroke-linejoin="round">"#,
    );
    let mut left = MOST_POINTS;
    for stroke in strokes.split(';') {
        let points: Vec<(i32, i32)> = stroke
            .split_ascii_whitespace()
            .filter_map(|p| p.split_once(','))
            .filter_map(|(x, y)| Some((x.parse().ok()?, y.parse().ok()?)))
            .take(left)
            .collect();
        left -= points.len();
        match points.as_slice() {
            [] => {}
            // A dot: a line without length has a round cap.
            [(x, y)] => {
                let _ = write!(out, r#"<polyline points="{x},{y} {x},{y}"/>"#);
            }
            points => {
                out.push_str(r#"<polyline points=""#);
                for (i, (x, y)) in points.iter().enumerate() {
                    let _ = write!(out, "{}{x},{y}", if i == 0 { "" } else { " " });
                }
                out.push_str(r#""/>"#);
            }
        }
    }
    out.push_str("</g></svg>");
    out
}

/// A QR code of `text` as inline SVG; empty where it does not fit into one.
pub fn qr_svg(text: &str) -> String {
    let Ok(code) = qrcode::QrCode::with_error_correction_level(text.as_bytes(), qrcode::EcLevel::M) else {
        return String::new();
    };
    let width = code.width();
    let mut path = String::new();
    for (i, dark) in code.to_colors().into_iter().enumerate() {
        if dark == qrcode::Color::Dark {
            let _ = write!(path, "M{} {}h1v1h-1z", i % width + 2, i / width + 2);
        }
    }
    let side = width + 4;
    format!(
        r#"<svg class="qr" viewBox="0 0 {side} {side}" role="img" shape-rendering="crispEdges"><path fill="currentColor" d="{path}"/></svg>"#
    )
}
