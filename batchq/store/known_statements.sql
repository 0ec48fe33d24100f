-- Results by a hash of what they were made of; see known.py. Each statement has its name above it.

-- create_known
CREATE TABLE IF NOT EXISTS known (key TEXT NOT NULL, result TEXT NOT NULL);

-- index_once
-- Of a file that several batches write to: the first result of a key stays.
CREATE UNIQUE INDEX IF NOT EXISTS known_key ON known (key);

-- index_all
-- Of a file that was filled in one go: made at the end, the index costs a tenth.
CREATE INDEX known_keys ON known (key);

-- put_known
INSERT OR IGNORE INTO known (key, result) VALUES (?, ?);

-- look_at_known
-- From the top of the table and of its index down to an end: most damage is met on the way.
SELECT (SELECT min(key) FROM known), (SELECT max(key) FROM known), (SELECT max(rowid) FROM known);

-- get_known
SELECT key, result FROM known WHERE key IN (SELECT value FROM json_each(?));
