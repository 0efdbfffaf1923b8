//! The gate's promise: what it admits lives on.

use super::docs::{Base, honest};
use onsite_core::document::{Change, Doc, screen::screen};
use onsite_server::fuzzing::{Tried, gate};

/// What became of a change.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Met {
    /// Refused: by which step, and the code.
    Refused(&'static str, String),
    /// Admitted, and all that was promised of it held: the document with it, saved.
    Admitted(Vec<u8>),
}

const NONE: [&[u8]; 0] = [];

/// Puts a change through the gate as a worker does, and holds it to its promise: what is admitted
/// loads again, on the server and on a phone, with equal heads and content, and takes one more
/// honest edit.
///
/// # Panics
/// Where a promise is broken.
pub fn meet(base: &Base, bytes: &[u8]) -> Met {
    let kind = base.doc.kind();
    let (heads, entity, saved) = match gate(kind, &base.snapshot, base.clashes, bytes) {
        Tried::Refused(at, code) => {
            assert!((at, code.as_str()) != ("trial", "unheard"), "the document as stored loads");
            return Met::Refused(at, code);
        }
        Tried::Lives { heads, entity, snapshot } => (heads, entity, snapshot),
    };
    let header = screen(bytes).expect("it passed the screen");
    let change = Change::parse(bytes.to_vec()).expect("what was admitted is a change");
    assert_eq!(change.header, header, "screen and parser read the same");
    let mut server = Doc::load(kind, Some(&saved), NONE).expect("what was admitted loads again");
    assert_eq!(server.heads(), heads, "with the same heads");
    let reading = server.read().expect("it is read again");
    assert_eq!(serde_json::to_string(&reading.entity).expect("written"), entity, "with the same content");
    let known = server.change(header.hash).expect("it is in the document");
    assert_eq!(known.header, header, "Automerge reads what the screen read");

    Doc::load_foreign(kind, Some(&saved), NONE).expect("a phone takes the snapshot");
    let mut phone = base.doc.clone();
    phone.apply([bytes]).expect("a phone takes the change");
    assert_eq!(phone.heads(), heads, "and stands where the server stands");
    assert_eq!(phone.read().expect("read on the phone"), reading, "and reads the same");
    assert_eq!(phone.clashes(), server.clashes(), "and sees the same clashes");

    // Life goes on, on both sides.
    let edit = honest(&mut server, 4).expect("the next honest edit works").expect("it changes something");
    phone.apply([&edit.bytes]).expect("a phone takes the next edit");
    let after = server.prove().expect("the next state is sound").reading;
    assert_eq!(phone.prove().expect("the next state is sound on the phone").reading, after);
    let last = Doc::load(kind, Some(&server.save()), NONE).expect("the next state loads again");
    assert_eq!(last.read().expect("read at last"), after);
    Met::Admitted(saved)
}
