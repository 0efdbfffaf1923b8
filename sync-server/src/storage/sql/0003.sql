-- What whole-company questions read of a document: small, and side by side.
CREATE TABLE fact (
    tenant BLOB NOT NULL, kind INTEGER NOT NULL, doc BLOB NOT NULL, status TEXT NOT NULL,
    starts INTEGER, ends INTEGER, body TEXT NOT NULL, PRIMARY KEY (tenant, kind, doc)
) WITHOUT ROWID;
CREATE INDEX fact_by_start ON fact (tenant, kind, starts) WHERE starts IS NOT NULL;
CREATE INDEX fact_by_status ON fact (tenant, kind, status);
-- The last syncs of each device.
CREATE TABLE sync_note (
    tenant BLOB NOT NULL, device BLOB NOT NULL, n INTEGER NOT NULL, body TEXT NOT NULL,
    PRIMARY KEY (tenant, device, n)
) WITHOUT ROWID;
