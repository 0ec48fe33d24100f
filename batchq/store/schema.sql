-- A batch's file, schema version 1; what came later stands in schema_2.sql and so on.
-- Times: *_at are seconds since 1970 (REAL), *_ms are milliseconds, *_us microseconds (INTEGER).
-- The version stands in PRAGMA user_version; a file of a newer one is refused.

-- The batch's own row: what it is, how it stands, how far its input has been read.
-- Limits stand in columns, because another process may change them while the batch runs.
CREATE TABLE batch (
    one            INTEGER PRIMARY KEY CHECK (one = 1),
    batch_id       TEXT    NOT NULL,
    uuid           TEXT    NOT NULL,
    state          TEXT    NOT NULL CHECK (state IN ('queued', 'filling', 'running', 'pausing', 'paused',
                                                     'cancelling', 'cancelled', 'completed', 'failed')),
    reason         TEXT,
    changed_at     REAL    NOT NULL,
    created_at     REAL    NOT NULL,
    started_at     REAL,
    ended_at       REAL,
    epoch          INTEGER NOT NULL DEFAULT 0,
    priority       INTEGER NOT NULL DEFAULT 0,
    concurrency    INTEGER NOT NULL CHECK (concurrency > 0),
    workers        INTEGER NOT NULL CHECK (workers > 0),
    timeout        REAL    CHECK (timeout > 0),
    retry_attempts INTEGER NOT NULL CHECK (retry_attempts > 0),
    rate           TEXT,
    spec           TEXT    NOT NULL,               -- model.BatchSpec as JSON
    handler        BLOB,                           -- a pickled handler, where there is no target
    seal           TEXT,                           -- HMAC over what names code
    input_offset   INTEGER NOT NULL DEFAULT 0,     -- where the next record begins
    input_line     INTEGER NOT NULL DEFAULT 1,
    input_records  INTEGER NOT NULL DEFAULT 0,     -- records read; equals the items stored
    input_digest   TEXT    NOT NULL DEFAULT '',    -- running hash of the part that was read
    input_done     INTEGER NOT NULL DEFAULT 0 CHECK (input_done IN (0, 1))
);

-- Running counts; changed only in the transaction that changes what they count.
CREATE TABLE tally (
    one           INTEGER PRIMARY KEY CHECK (one = 1),
    items         INTEGER NOT NULL DEFAULT 0,
    success       INTEGER NOT NULL DEFAULT 0,
    failed        INTEGER NOT NULL DEFAULT 0,
    attempts      INTEGER NOT NULL DEFAULT 0,
    retries       INTEGER NOT NULL DEFAULT 0,
    recovered     INTEGER NOT NULL DEFAULT 0,
    interruptions INTEGER NOT NULL DEFAULT 0,
    duration_us   INTEGER NOT NULL DEFAULT 0,
    CHECK (success >= 0 AND failed >= 0 AND success + failed <= items)
);

-- The input, stored once. The payload stands last, so that short columns are read without its pages.
CREATE TABLE items (
    seq           INTEGER PRIMARY KEY CHECK (seq > 0),
    item_id,                                       -- the record's own id, text or integer; NULL: item-<seq>
    run           INTEGER NOT NULL DEFAULT 1,
    interruptions INTEGER NOT NULL DEFAULT 0,      -- runs cut short while this item was claimed
    deaths        INTEGER NOT NULL DEFAULT 0,      -- workers that died while running it alone
    line          INTEGER NOT NULL,                -- where it stands in the input
    payload       TEXT    NOT NULL                 -- JSON
);

-- One row per item and run, numbered in commit order; never changed, never deleted.
CREATE TABLE outcomes (
    n           INTEGER PRIMARY KEY,
    seq         INTEGER NOT NULL,
    run         INTEGER NOT NULL,
    success     INTEGER NOT NULL CHECK (success IN (0, 1)),
    attempts    INTEGER NOT NULL,
    duration_us INTEGER NOT NULL,
    bucket      INTEGER NOT NULL,                  -- of the latency histogram
    ended_ms    INTEGER NOT NULL,
    worker      INTEGER NOT NULL,
    error_group INTEGER,
    error_type  TEXT,
    error       TEXT,
    result      TEXT,                              -- JSON
    CHECK ((success = 1) = (error IS NULL))
);
CREATE UNIQUE INDEX outcomes_item ON outcomes (seq, run);
CREATE INDEX outcomes_failed ON outcomes (seq) WHERE success = 0;

-- Attempts that failed, whatever came after them.
CREATE TABLE attempts (
    n           INTEGER PRIMARY KEY,
    seq         INTEGER NOT NULL,
    run         INTEGER NOT NULL,
    number      INTEGER NOT NULL,
    started_ms  INTEGER NOT NULL,
    duration_us INTEGER NOT NULL,
    worker      INTEGER NOT NULL,
    delay_ms    INTEGER,                           -- NULL: no further attempt was to follow
    not_before  INTEGER,                           -- wall clock, ms
    error_group INTEGER NOT NULL,
    error_type  TEXT    NOT NULL,
    error       TEXT    NOT NULL,
    traceback   TEXT    NOT NULL
);
CREATE UNIQUE INDEX attempts_item ON attempts (seq, run, number);

-- Failures that look alike: same type, same last own frame, same message but for its numbers and ids.
CREATE TABLE error_groups (
    id          INTEGER PRIMARY KEY,
    fingerprint TEXT    NOT NULL UNIQUE,
    error_type  TEXT    NOT NULL,
    message     TEXT    NOT NULL,                  -- of the first one
    frame       TEXT    NOT NULL,
    failed      INTEGER NOT NULL DEFAULT 0,        -- items whose current outcome is of this group
    attempts    INTEGER NOT NULL DEFAULT 0,
    first_ms    INTEGER NOT NULL,
    last_ms     INTEGER NOT NULL,
    examples    TEXT    NOT NULL DEFAULT '[]'      -- JSON: seq of the first few items
);

-- Items by handler time, in logarithmic buckets (model.latency_bucket).
CREATE TABLE latency (
    bucket INTEGER PRIMARY KEY,
    items  INTEGER NOT NULL
);

-- What was recorded when, in intervals of ten seconds of the wall clock.
CREATE TABLE intervals (
    start_s INTEGER PRIMARY KEY,
    success INTEGER NOT NULL DEFAULT 0,
    failed  INTEGER NOT NULL DEFAULT 0
);

-- One row per supervisor: the time in which the batch was worked on, as against paused or dead.
CREATE TABLE sessions (
    epoch      INTEGER PRIMARY KEY,
    pid        INTEGER NOT NULL,
    started_at REAL    NOT NULL,
    active_ms  INTEGER NOT NULL DEFAULT 0          -- monotonic clock, noted about once a second
);

-- The chunk queue: persist-queue's table of its name, with the columns of the claim protocol.
-- status is persist-queue's: 0 and 1 ready, 2 unacked, 5 acked. data is [first, last].
CREATE TABLE ack_queue_chunks (
    _id         INTEGER PRIMARY KEY AUTOINCREMENT,
    data        BLOB,
    timestamp   FLOAT,
    status      INTEGER,
    first_seq   INTEGER NOT NULL,
    last_seq    INTEGER NOT NULL CHECK (last_seq >= first_seq),
    bytes       INTEGER NOT NULL DEFAULT 0,        -- of payload, about
    lane        INTEGER NOT NULL DEFAULT 0,        -- 0 for all, 1 alone, 2 and up groups in quarantine
    redelivered INTEGER NOT NULL DEFAULT 0,        -- some items may have outcomes or attempts
    claimant    TEXT,
    epoch       INTEGER,
    CHECK (status IN (0, 1, 2, 5)),
    CHECK ((status = 2) = (claimant IS NOT NULL))
);
CREATE INDEX chunks_ready ON ack_queue_chunks (lane, first_seq) WHERE status < 2;
CREATE INDEX chunks_unacked ON ack_queue_chunks (claimant) WHERE status = 2;
CREATE INDEX chunks_acked ON ack_queue_chunks (_id) WHERE status = 5;

-- The tables that the original module had, under their names, with their columns and meaning.
CREATE VIEW batch_jobs AS
SELECT b.one AS id, b.batch_id, t.items AS total_items, t.success + t.failed AS processed_items,
       t.success AS success_count, t.failed AS failure_count, b.state AS status,
       strftime('%Y-%m-%dT%H:%M:%f', coalesce(b.started_at, b.created_at), 'unixepoch') || '+00:00' AS started_at,
       strftime('%Y-%m-%dT%H:%M:%f', b.ended_at, 'unixepoch') || '+00:00' AS completed_at,
       json_set(b.spec, '$.mode', 'queue', '$.max_concurrent', b.concurrency, '$.retry_attempts', b.retry_attempts,
                '$.timeout_per_item', b.timeout) AS config
FROM batch b, tally t;

CREATE VIEW batch_items AS
SELECT i.seq AS id, (SELECT batch_id FROM batch) AS batch_id,
       coalesce(i.item_id, 'item-' || i.seq) AS idea_id,
       CASE o.success WHEN 1 THEN 'success' WHEN 0 THEN 'failed' ELSE 'pending' END AS status,
       o.result, o.error, o.duration_us / 1e6 AS processing_time, coalesce(o.attempts, 0) AS attempts,
       strftime('%Y-%m-%dT%H:%M:%f', o.ended_ms / 1000.0, 'unixepoch') || '+00:00' AS created_at
FROM items i LEFT JOIN outcomes o ON o.seq = i.seq AND o.run = i.run;
