CREATE TABLE tenant (
    id BLOB PRIMARY KEY, name TEXT NOT NULL, epoch INTEGER NOT NULL, head INTEGER NOT NULL,
    secret BLOB NOT NULL, created INTEGER NOT NULL
) WITHOUT ROWID;
CREATE TABLE doc (
    tenant BLOB NOT NULL, doc BLOB NOT NULL, kind INTEGER NOT NULL, ver INTEGER NOT NULL,
    heads BLOB NOT NULL, snapshot_upto INTEGER NOT NULL,
    PRIMARY KEY (tenant, doc)
) WITHOUT ROWID;
-- The log. A read mark takes a number too: it has neither hash nor actor nor seq.
CREATE TABLE change (
    tenant BLOB NOT NULL, cursor INTEGER NOT NULL, doc BLOB NOT NULL, kind INTEGER NOT NULL,
    hash BLOB, actor BLOB, seq INTEGER, device BLOB NOT NULL, body BLOB NOT NULL, received INTEGER NOT NULL,
    PRIMARY KEY (tenant, cursor),
    UNIQUE (tenant, doc, hash),
    UNIQUE (tenant, doc, actor, seq)
);
CREATE INDEX change_of_doc ON change (tenant, doc, cursor) WHERE hash IS NOT NULL;
CREATE TABLE snapshot (tenant BLOB NOT NULL, doc BLOB NOT NULL, body BLOB NOT NULL, PRIMARY KEY (tenant, doc));
-- Why somebody reads a document (flags, 0: left) and when that or the document last changed.
CREATE TABLE scope (
    tenant BLOB NOT NULL, doc BLOB NOT NULL, staff BLOB NOT NULL,
    flags INTEGER NOT NULL, since INTEGER NOT NULL, ver INTEGER NOT NULL,
    PRIMARY KEY (tenant, doc, staff)
) WITHOUT ROWID;
CREATE INDEX scope_by_ver ON scope (tenant, staff, ver, doc, flags, since);
CREATE TABLE link (
    tenant BLOB NOT NULL, origin BLOB NOT NULL, target BLOB NOT NULL, PRIMARY KEY (tenant, origin, target)
) WITHOUT ROWID;
CREATE INDEX link_back ON link (tenant, target, origin);
CREATE TABLE digest (
    tenant BLOB NOT NULL, staff BLOB NOT NULL, digest BLOB NOT NULL, PRIMARY KEY (tenant, staff)
) WITHOUT ROWID;
CREATE TABLE seen (tenant BLOB NOT NULL, doc BLOB NOT NULL, mark TEXT NOT NULL, PRIMARY KEY (tenant, doc)) WITHOUT ROWID;
CREATE TABLE counter (
    tenant BLOB NOT NULL, name TEXT NOT NULL, n INTEGER NOT NULL, PRIMARY KEY (tenant, name)
) WITHOUT ROWID;
CREATE TABLE answer (
    tenant BLOB NOT NULL, key TEXT NOT NULL, answer TEXT NOT NULL, PRIMARY KEY (tenant, key)
) WITHOUT ROWID;
CREATE TABLE aside (
    tenant BLOB NOT NULL, doc BLOB NOT NULL, hash BLOB NOT NULL, kind INTEGER NOT NULL, staff BLOB NOT NULL,
    device BLOB NOT NULL, code TEXT NOT NULL, field TEXT NOT NULL, detail TEXT NOT NULL, because_of BLOB,
    body BLOB NOT NULL, at INTEGER NOT NULL, decision TEXT,
    PRIMARY KEY (tenant, doc, hash)
);
CREATE INDEX aside_by_time ON aside (tenant, at DESC, doc, hash);
CREATE INDEX aside_open ON aside (tenant, at DESC, doc, hash) WHERE decision IS NULL;
-- The read model. `place` sorts: due, or the greatest number. `words` tells whether the search text changed.
CREATE TABLE view (
    id INTEGER PRIMARY KEY, tenant BLOB NOT NULL, doc BLOB NOT NULL, kind INTEGER NOT NULL, status TEXT NOT NULL,
    parent BLOB, due INTEGER, place INTEGER NOT NULL, clashes INTEGER NOT NULL, flagged INTEGER NOT NULL,
    rev INTEGER NOT NULL, changed INTEGER NOT NULL, words BLOB NOT NULL, summary TEXT NOT NULL, entity TEXT NOT NULL,
    UNIQUE (tenant, doc)
);
CREATE INDEX view_by_kind ON view (tenant, kind, place, doc);
CREATE INDEX view_by_status ON view (tenant, kind, status, place, doc);
CREATE INDEX view_by_parent ON view (tenant, parent, kind, doc) WHERE parent IS NOT NULL;
CREATE INDEX view_clashing ON view (tenant, place, doc) WHERE clashes > 0;
CREATE INDEX view_flagged ON view (tenant, place, doc) WHERE flagged;
CREATE TABLE person (
    tenant BLOB NOT NULL, staff BLOB NOT NULL, view INTEGER NOT NULL, PRIMARY KEY (tenant, staff, view)
) WITHOUT ROWID;
-- The tokens come ready, blank-separated: `ascii` splits at nothing else and leaves them as they are.
CREATE VIRTUAL TABLE words USING fts5 (body, content = '', contentless_delete = 1, tokenize = 'ascii');
CREATE TABLE device (
    tenant BLOB NOT NULL, id BLOB NOT NULL, code TEXT NOT NULL, revoked INTEGER, body TEXT NOT NULL,
    PRIMARY KEY (tenant, id), UNIQUE (tenant, code)
) WITHOUT ROWID;
CREATE INDEX device_by_id ON device (id, tenant);
CREATE TABLE device_sync (
    tenant BLOB NOT NULL, id BLOB NOT NULL, body TEXT NOT NULL, PRIMARY KEY (tenant, id)
) WITHOUT ROWID;
CREATE TABLE record (
    tenant BLOB NOT NULL, tbl TEXT NOT NULL, key TEXT NOT NULL, body TEXT NOT NULL, expires INTEGER,
    ver INTEGER NOT NULL, PRIMARY KEY (tenant, tbl, key)
) WITHOUT ROWID;
CREATE INDEX record_ends ON record (expires) WHERE expires IS NOT NULL;
CREATE TABLE blob (
    tenant BLOB NOT NULL, sha256 BLOB NOT NULL, body TEXT NOT NULL, PRIMARY KEY (tenant, sha256)
) WITHOUT ROWID;
CREATE TABLE audit (
    tenant BLOB NOT NULL, n INTEGER NOT NULL, entry TEXT NOT NULL, hash BLOB NOT NULL, PRIMARY KEY (tenant, n)
) WITHOUT ROWID;
CREATE TABLE probe (at INTEGER NOT NULL);
