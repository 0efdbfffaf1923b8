//! JSON schemas of what serialises as a text of its own form; those of structs are derived.

use super::{ChangeHash, Sha256, Stamp};
use utoipa::openapi::RefOr;
use utoipa::openapi::schema::{ObjectBuilder, Schema, SchemaType, Type};
use utoipa::{PartialSchema, ToSchema};

/// A text of one of these words, each with what it means.
pub(super) fn words(what: &str, words: &[(&str, &str)]) -> RefOr<Schema> {
    let meanings: Vec<String> = words.iter().map(|(word, means)| format!("- `{word}`:{means}")).collect();
    let text = ObjectBuilder::new()
        .schema_type(SchemaType::new(Type::String))
        .description(Some(format!("{}\n\n{}", what.trim(), meanings.join("\n"))))
        .enum_values(Some(words.iter().map(|(word, _)| *word)));
    RefOr::T(text.build().into())
}

fn text(what: &str, pattern: &str) -> RefOr<Schema> {
    let text =
        ObjectBuilder::new().schema_type(SchemaType::new(Type::String)).description(Some(what)).pattern(Some(pattern));
    RefOr::T(text.build().into())
}

impl PartialSchema for Stamp {
    fn schema() -> RefOr<Schema> {
        text(
            "A moment as a device saw it: `at`, `at+offset` or `at+offset~doubt`. `at`: what its clock showed, in \
             milliseconds since the epoch; `offset`: server clock minus its clock; `doubt`: half the width of the \
             interval in which the true time lies; all in milliseconds.",
            "^-?[0-9]+([+-][0-9]+(~[0-9]+)?)?$",
        )
    }
}
impl ToSchema for Stamp {}

impl PartialSchema for Sha256 {
    fn schema() -> RefOr<Schema> {
        text("A SHA-256 in hexadecimal: of a blob, or of signed content.", "^[0-9a-fA-F]{64}$")
    }
}
impl ToSchema for Sha256 {}

impl PartialSchema for ChangeHash {
    fn schema() -> RefOr<Schema> {
        text("The hash of a change, in hexadecimal: its identity everywhere.", "^[0-9a-fA-F]{64}$")
    }
}
impl ToSchema for ChangeHash {}
