-- Schema 2. The words of a row come ready from the domain, set apart by blanks:
-- `ascii` splits at nothing else of them. `doc.search` holds the text itself;
-- it is indexed anew after this.

DROP TABLE words;
CREATE VIRTUAL TABLE words USING fts5 (text, content = '', contentless_delete = 1, tokenize = 'ascii');
DELETE FROM fresh;
INSERT INTO fresh (doc) SELECT no FROM doc WHERE search <> '';
