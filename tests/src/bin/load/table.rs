//! What was measured beside what was aimed at.

/// A line of the table.
pub(crate) struct Row {
    /// What is measured, and what it should be.
    pub(crate) target: String,
    /// What it is.
    pub(crate) measured: String,
    /// Measured ÷ target, or to what it is compared with.
    pub(crate) ratio: String,
    /// Whether it is met; `None` where there is no target.
    pub(crate) ok: Option<bool>,
}

impl Row {
    /// A figure with an upper bound.
    pub(crate) fn at_most(target: impl Into<String>, measured: impl Into<String>, value: f64, bound: f64) -> Self {
        Self {
            target: target.into(),
            measured: measured.into(),
            ratio: format!("{:.2}", value / bound),
            ok: Some(value <= bound),
        }
    }

    /// The same, with its ratio in other words.
    pub(crate) fn shown(self, ratio: String) -> Self {
        Self { ratio, ..self }
    }

    /// A figure without a bound.
    pub(crate) fn figure(target: impl Into<String>, measured: impl Into<String>, ratio: impl Into<String>) -> Self {
        Self { target: target.into(), measured: measured.into(), ratio: ratio.into(), ok: None }
    }
}

/// The lines as a Markdown table.
pub(crate) fn render(rows: &[Row]) -> String {
    let mut out = String::from("| target | measured | ratio | ok |\n|---|---|---|---|\n");
    for row in rows {
        let ok = row.ok.map_or("", |ok| if ok { "yes" } else { "no" });
        out.push_str(&format!("| {} | {} | {} | {ok} |\n", row.target, row.measured, row.ratio));
    }
    out
}
