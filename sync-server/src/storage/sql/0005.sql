-- The log has one index by document: a hash covers its actor and number, so that of one document no two changes have
-- the same hash where none have the same number of one actor. Rows come in the order of their numbers, and so do
-- their ids.
CREATE TABLE log (
    id INTEGER PRIMARY KEY, tenant BLOB NOT NULL, cursor INTEGER NOT NULL, doc BLOB NOT NULL, kind INTEGER NOT NULL,
    hash BLOB, actor BLOB, seq INTEGER, device BLOB NOT NULL, body BLOB NOT NULL, received INTEGER NOT NULL,
    UNIQUE (tenant, cursor)
);
INSERT INTO log (tenant, cursor, doc, kind, hash, actor, seq, device, body, received)
    SELECT tenant, cursor, doc, kind, hash, actor, seq, device, body, received FROM change ORDER BY tenant, cursor;
DROP TABLE change;
ALTER TABLE log RENAME TO change;
CREATE UNIQUE INDEX change_of_doc ON change (tenant, doc, actor, seq);
