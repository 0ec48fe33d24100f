-- A file of BatchDatabase: the tables of the original module, with its columns and no others.
-- IF NOT EXISTS, because the original made the same tables: a file of its stays as it is, but for the index.
-- Times are ISO 8601 in UTC; processing_time is in seconds.

CREATE TABLE IF NOT EXISTS batch_jobs (
    id              INTEGER PRIMARY KEY,
    batch_id        TEXT    UNIQUE NOT NULL,
    total_items     INTEGER NOT NULL,
    processed_items INTEGER DEFAULT 0,
    success_count   INTEGER DEFAULT 0,
    failure_count   INTEGER DEFAULT 0,
    status          TEXT    NOT NULL,
    started_at      TEXT    NOT NULL,
    completed_at    TEXT,
    config          TEXT                           -- JSON
);

CREATE TABLE IF NOT EXISTS batch_items (
    id              INTEGER PRIMARY KEY,
    batch_id        TEXT    NOT NULL REFERENCES batch_jobs (batch_id) ON DELETE CASCADE,
    idea_id         TEXT    NOT NULL,
    status          TEXT    NOT NULL,
    result          TEXT,                          -- JSON
    error           TEXT,
    processing_time REAL,
    attempts        INTEGER DEFAULT 1,
    created_at      TEXT
);
CREATE INDEX IF NOT EXISTS batch_items_of_job ON batch_items (batch_id);
