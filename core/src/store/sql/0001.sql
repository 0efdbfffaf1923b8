-- Schema 1. Ids of documents are interned to small numbers (doc.no), which are
-- also the rows of the search index. Times are milliseconds since the epoch.

CREATE TABLE meta (
  key   TEXT PRIMARY KEY,
  value BLOB NOT NULL
) WITHOUT ROWID;

-- One row a document: heads, delivery, list line and content. The content
-- comes last, so that lists do not read the pages it overflows to.
CREATE TABLE doc (
  no         INTEGER PRIMARY KEY,
  id         BLOB NOT NULL UNIQUE,
  kind       INTEGER NOT NULL,
  leaving    INTEGER NOT NULL DEFAULT 0,
  heads      BLOB NOT NULL,
  accepted   BLOB NOT NULL DEFAULT x'',
  sealed     BLOB,              -- heads the server vouched for
  seal       BLOB,              -- its HMAC over them
  own        INTEGER NOT NULL DEFAULT 0,  -- edited here
  waiting    INTEGER NOT NULL DEFAULT 0,  -- changes in the outbox
  sent       INTEGER NOT NULL DEFAULT 0,  -- decided since its part of the outbox was last empty
  refused    INTEGER NOT NULL DEFAULT 0,  -- refused and not dealt with
  seen       INTEGER NOT NULL DEFAULT 0,  -- the office saw all edits made here
  tail       INTEGER NOT NULL DEFAULT 0,  -- changes after the snapshot
  tail_bytes INTEGER NOT NULL DEFAULT 0,
  snap_bytes INTEGER NOT NULL DEFAULT 0,
  last_n     INTEGER NOT NULL DEFAULT 0,  -- order of arrival of its newest change
  due        INTEGER NOT NULL DEFAULT -9223372036854775808,
  parent     BLOB,
  status     TEXT NOT NULL DEFAULT '',
  number     TEXT NOT NULL DEFAULT '',
  title      TEXT NOT NULL DEFAULT '',
  subtitle   TEXT NOT NULL DEFAULT '',
  people     BLOB NOT NULL DEFAULT x'',
  flags      TEXT NOT NULL DEFAULT '[]',
  search     TEXT NOT NULL DEFAULT '',  -- the words it is found by, CJK characters set apart by blanks
  entity     BLOB
);
CREATE INDEX doc_list   ON doc (kind, due, no);
CREATE INDEX doc_status ON doc (kind, status, due, no);
CREATE INDEX doc_parent ON doc (parent, kind, no) WHERE parent IS NOT NULL;
CREATE INDEX doc_tail   ON doc (no) WHERE tail > 32 OR (tail_bytes > 8192 AND tail_bytes > snap_bytes);

-- Whom a document concerns. `open` is 1 while somebody has something to do about it.
CREATE TABLE person (
  staff BLOB NOT NULL,
  kind  INTEGER NOT NULL,
  open  INTEGER NOT NULL,
  due   INTEGER NOT NULL,
  doc   INTEGER NOT NULL,
  PRIMARY KEY (staff, kind, open, due, doc)
) WITHOUT ROWID;

CREATE TABLE snapshot (
  doc  INTEGER PRIMARY KEY REFERENCES doc (no) ON DELETE CASCADE,
  body BLOB NOT NULL
);

-- Changes after the snapshot, clustered by document; the outbox is an index
-- over those that have a lane, so an edit is written once.
CREATE TABLE change (
  doc        INTEGER NOT NULL REFERENCES doc (no) ON DELETE CASCADE,
  hash       BLOB NOT NULL,
  n          INTEGER NOT NULL,            -- order of arrival
  lane       INTEGER,                     -- waits to be sent; NULL: the server has it
  covered    INTEGER NOT NULL DEFAULT 0,  -- the snapshot holds it; kept only to be sent
  queued_at  INTEGER NOT NULL DEFAULT 0,
  attempts   INTEGER NOT NULL DEFAULT 0,
  last_error TEXT NOT NULL DEFAULT '',
  deps       BLOB NOT NULL,
  body       BLOB NOT NULL,
  PRIMARY KEY (doc, hash)
) WITHOUT ROWID;
CREATE INDEX outbox ON change (lane, n, queued_at) WHERE lane IS NOT NULL;

-- Refused changes, kept whatever becomes of their document.
CREATE TABLE refused (
  id      INTEGER PRIMARY KEY,
  doc     BLOB NOT NULL,
  kind    INTEGER NOT NULL,
  hash    BLOB NOT NULL,
  body    BLOB NOT NULL,
  code    TEXT NOT NULL,
  field   TEXT NOT NULL,
  detail  TEXT NOT NULL,
  at      INTEGER NOT NULL,
  settled INTEGER NOT NULL DEFAULT 0,
  UNIQUE (doc, hash)
);

CREATE TABLE mark (
  doc   INTEGER PRIMARY KEY REFERENCES doc (no) ON DELETE CASCADE,
  heads BLOB NOT NULL,
  at    INTEGER NOT NULL,
  by    BLOB NOT NULL
);

CREATE TABLE blob (
  name       BLOB PRIMARY KEY,
  size       INTEGER NOT NULL,
  media_type TEXT NOT NULL,
  state      INTEGER NOT NULL,            -- 0 here only, 1 here and at the server, 2 at the server only
  sent       INTEGER NOT NULL DEFAULT 0,  -- bytes the server confirmed
  upload     TEXT NOT NULL DEFAULT '',
  added_at   INTEGER NOT NULL,
  attempts   INTEGER NOT NULL DEFAULT 0,
  last_error TEXT NOT NULL DEFAULT ''
) WITHOUT ROWID;
CREATE INDEX blob_send ON blob (attempts, added_at) WHERE state = 0;
CREATE INDEX blob_kept ON blob (added_at) WHERE state = 1;
CREATE INDEX blob_away ON blob (added_at) WHERE state = 2;

-- By the document's id, for a blob may be linked before its document is stored.
CREATE TABLE blob_ref (
  doc  BLOB NOT NULL,
  name BLOB NOT NULL,
  PRIMARY KEY (doc, name)
) WITHOUT ROWID;
CREATE INDEX blob_ref_name ON blob_ref (name);

-- The search index over doc.search, by doc.no; the words are not kept twice.
CREATE VIRTUAL TABLE words USING fts5 (
  text, content = '', contentless_delete = 1, tokenize = 'unicode61 remove_diacritics 2'
);

-- Documents whose words changed since they were indexed: a few at most, for an
-- edit that indexed its words would write and sync twice the pages.
CREATE TABLE fresh (
  doc INTEGER PRIMARY KEY
);
