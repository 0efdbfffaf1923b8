-- What was written in a refused change's place, and what the office decided about it.
ALTER TABLE refused ADD COLUMN instead BLOB;
ALTER TABLE refused ADD COLUMN verdict TEXT NOT NULL DEFAULT '';
ALTER TABLE refused ADD COLUMN reason TEXT NOT NULL DEFAULT '';
ALTER TABLE refused ADD COLUMN decided_by BLOB;
ALTER TABLE refused ADD COLUMN decided_at INTEGER;
CREATE INDEX undecided ON refused (id) WHERE verdict = '' AND (settled = 0 OR instead IS NOT NULL);
