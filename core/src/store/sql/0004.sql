-- Schema 4. The request that a work order names: which orders answer a request is asked at every edit of a visit
-- to it, and of itself.

ALTER TABLE doc ADD COLUMN answers BLOB;
UPDATE doc SET answers = unhex(CAST(entity AS TEXT) ->> '$.request', '-')
WHERE kind = 4 AND json_valid(CAST(entity AS TEXT));
CREATE INDEX doc_answers ON doc (answers) WHERE answers IS NOT NULL;
