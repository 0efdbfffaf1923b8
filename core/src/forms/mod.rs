//! The two paper forms as printable HTML: self-contained, A4, no script; the
//! same on the phone and in the office.
//!
//! `dispatch_data` and `visit_data` gather what a form shows from the
//! documents; `render_dispatch` and `render_visit` lay it out like the paper.

mod dispatch;
mod shown;
mod visit;

pub use dispatch::{DispatchFormData, ItemLine, SignoffLine, dispatch_data, render_dispatch};
pub use shown::{qr_svg, stay, strokes_svg};
pub use visit::{
    CheckLine, EventLine, PartLine, PhotoLine, ReceiptLine, SignatureShown, VisitFormData, render_visit, visit_data,
};

use crate::domain::StaffId;

/// Looks a person's name up; an empty name where unknown.
pub type Names<'a> = &'a dyn Fn(StaffId) -> String;

#[cfg(test)]
mod tests;
