//! The first change of every document, byte for byte the same everywhere, so
//! that two phones that open a document offline open the same one.
//!
//! It holds the kind's text objects: texts that two people begin apart then
//! merge by character instead of clashing as objects. It is never sent, never
//! counted, and never changes; fields added later need none.

use crate::domain::{ChangeHash, Kind};
use automerge::Automerge;
use std::sync::OnceLock;

/// A genesis, ready to be copied.
pub(super) struct Genesis {
    pub(super) doc: Automerge,
    pub(super) hash: ChangeHash,
}

/// The genesis of a kind.
pub(super) fn of(kind: Kind) -> &'static Genesis {
    static ALL: OnceLock<Vec<Genesis>> = OnceLock::new();
    let all = ALL.get_or_init(|| Kind::ALL.into_iter().map(read).collect());
    &all[usize::from(kind.number())]
}

#[expect(clippy::expect_used, reason = "constants of this file, tested below")]
fn read(kind: Kind) -> Genesis {
    let hex = HEX[usize::from(kind.number())].as_bytes();
    let digit = |c: u8| char::from(c).to_digit(16).expect("a digit") as u8;
    let bytes: Vec<u8> = hex.chunks(2).map(|pair| digit(pair[0]) << 4 | digit(pair[1])).collect();
    let doc = Automerge::load(&bytes).expect("a change");
    let hash = ChangeHash(doc.get_heads()[0].0);
    Genesis { doc, hash }
}

/// The bytes, by the kind's number.
const HEX: [&str; 11] = [
    "856f4a836380bcd9013f00180000000000000000000000000000000000000000000000000101000000061507340142025602570570027f057e6b696e64017f017f5673746166667f00",
    "856f4a8338cd2a81014300180000000000000000000000000000000000000000000000000101000000061507340142025603570870027f057e6b696e64017f017f860173657474696e67737f00",
    "856f4a833d42c6d4014b0018000000000000000000000000000000000000000000000000010100000006150d340142035604570870027e057e6b696e64056e6f746573027e01047e860100637573746f6d65720200",
    "856f4a83efb9defa014b0018000000000000000000000000000000000000000000000000010100000006150f340142035603570770027e057e6b696e640770726f626c656d027e01047e7600726571756573740200",
    "856f4a83d457aac3017700180000000000000000000000000000000000000000000000000101000000061535340142045605570a70027d057e6b696e641064697370617463682f72656d61726b731c64697370617463682f736572766963655f6465736372697074696f6e037f0102047fa6010200776f726b5f6f726465720300",
    "856f4a835a8de80801850100180000000000000000000000000000000000000000000000000101000000061549340142045604570570027a057e6b696e6410637573746f6d65725f636f6d6d656e7409646961676e6f7369730772656d61726b730a7265736f6c7574696f6e13736572766963655f6465736372697074696f6e067f0105047f56050076697369740600",
    "856f4a83e47d7fd8015900180000000000000000000000000000000000000000000000000101000000061518340142045605570970027d057e6b696e6408616e616c79736973076f70696e696f6e037f0102047f96010200666f6c6c6f775f75700300",
    "856f4a83c19ddc2c015200180000000000000000000000000000000000000000000000000101000000061513340142035604570970027e057e6b696e640b6465736372697074696f6e027e01047e960100636f6d706c61696e740200",
    "856f4a8355771453014b0018000000000000000000000000000000000000000000000000010100000006150c340142035604570970027e057e6b696e640474657874027e01047e96010073746174656d656e740200",
    "856f4a83a3765eb9014c0018000000000000000000000000000000000000000000000000010100000006150c340142035604570a70027e057e6b696e640474657874027e01047ea6010073756767657374696f6e0200",
    "856f4a83def5dbd7014400180000000000000000000000000000000000000000000000000101000000061507340142025603570970027f057e6b696e64017f017f960161707072616973616c7f00",
];

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use crate::document::codec;
    use automerge::{ActorId, ObjType, ROOT, ReadDoc, transaction::CommitOptions, transaction::Transactable};

    /// How the bytes came to be.
    fn build(kind: Kind) -> String {
        let mut doc = Automerge::new();
        doc.set_actor(ActorId::from([0_u8; 24]));
        let mut tx = doc.transaction();
        tx.put(ROOT, codec::KIND_KEY, kind.name()).unwrap();
        for path in codec::texts(kind) {
            tx.put_object(ROOT, *path, ObjType::Text).unwrap();
        }
        let hash = tx.commit_with(CommitOptions::default().with_time(0)).0.unwrap();
        let change = doc.get_change_by_hash(&hash).unwrap();
        change.raw_bytes().iter().map(|b| format!("{b:02x}")).collect()
    }

    #[test]
    fn bytes_never_change() {
        let built: Vec<String> = Kind::ALL.into_iter().map(build).collect();
        assert_eq!(built, HEX, "regenerated genesis differs: documents would fall apart\n{built:#?}");
    }

    #[test]
    fn bytes_hold_the_texts() {
        for kind in Kind::ALL {
            let genesis = of(kind);
            for path in codec::texts(kind) {
                let (value, _) = genesis.doc.get(ROOT, *path).unwrap().unwrap();
                assert!(value.is_object(), "{kind:?} {path}");
            }
            assert_eq!(genesis.doc.get_changes(&[]).len(), 1);
        }
    }
}
