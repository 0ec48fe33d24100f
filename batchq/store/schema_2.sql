-- What schema version 2 adds: rate limits and budgets, which the workers share; how a batch that was halted exits; what
-- was left out of the input; what a report tells of attempts and workers.

-- One row a limit: its rate, and when all that was started under it is paid off.
-- The row 'hold' has no rate: nothing begins before it, because the server that items call is overloaded.
CREATE TABLE pace (
    name     TEXT    PRIMARY KEY,                  -- pace.Rate.name, or 'hold'
    unit     TEXT    NOT NULL,
    amount   REAL    NOT NULL,
    seconds  REAL    NOT NULL,
    until_ns INTEGER,                              -- monotonic clock of the machine since `boot`; NULL: never used
    boot     TEXT,
    until_ms INTEGER,                              -- the same on the wall clock, for after a reboot
    ahead_ns INTEGER                               -- how far it lay ahead when it was written: it cannot be further
);

-- What handlers have spent, by unit (Context.spend), and how much of it they may.
CREATE TABLE spent (
    unit   TEXT PRIMARY KEY,
    amount REAL NOT NULL DEFAULT 0,
    budget REAL
);

-- What the command exits with that ran a batch until it was halted.
ALTER TABLE batch ADD COLUMN exit_code INTEGER;

-- The user has said to go on without the rest of the input.
ALTER TABLE batch ADD COLUMN input_cut INTEGER NOT NULL DEFAULT 0 CHECK (input_cut IN (0, 1));

-- Records of the input that became no items, by the option of `start` that left them out.
CREATE TABLE skipped (
    reason  TEXT    PRIMARY KEY,
    records INTEGER NOT NULL
);

-- Items by the attempts that their current run took; counted once from the outcomes of an earlier batchq.
CREATE TABLE tries (
    attempts INTEGER PRIMARY KEY,
    success  INTEGER NOT NULL DEFAULT 0,
    failed   INTEGER NOT NULL DEFAULT 0
);
INSERT INTO tries (attempts, success, failed)
SELECT o.attempts, sum(o.success), sum(1 - o.success)
FROM items i JOIN outcomes o ON o.seq = i.seq AND o.run = i.run GROUP BY o.attempts;

-- What each process has recorded, outcomes included whose item ran again later.
CREATE TABLE shares (
    worker  INTEGER PRIMARY KEY,                   -- model.worker_name
    items   INTEGER NOT NULL DEFAULT 0,
    busy_us INTEGER NOT NULL DEFAULT 0             -- handler time, of all its slots together
);
INSERT INTO shares (worker, items, busy_us)
SELECT worker, count(*), sum(duration_us) FROM outcomes GROUP BY worker;

-- Attempts after which the item was to be tried again, in intervals of ten seconds of the wall clock.
CREATE TABLE retried (
    start_s INTEGER PRIMARY KEY,
    retries INTEGER NOT NULL
);
INSERT INTO retried (start_s, retries)
SELECT (started_ms + duration_us / 1000) / 10000 * 10, count(*) FROM attempts WHERE delay_ms IS NOT NULL GROUP BY 1;

-- How far the outcomes have been written to the file that --out names; no row: it has never been opened.
CREATE TABLE written (
    one    INTEGER PRIMARY KEY CHECK (one = 1),
    number INTEGER NOT NULL,                       -- outcomes.n of the last one in it
    bytes  INTEGER NOT NULL,                       -- where that one ends
    tail   TEXT    NOT NULL                        -- hash of the last bytes before that: it is the same file
);

-- When a supervisor left of itself; NULL: it runs, or it died.
ALTER TABLE sessions ADD COLUMN ended_at REAL;

-- What a server does for it, see turns.py: 0 nothing, 1 adopted, 2 its own.
ALTER TABLE batch ADD COLUMN served INTEGER NOT NULL DEFAULT 0 CHECK (served IN (0, 1, 2));

-- What --notify is to tell, a row an address; written with the change that it tells of, so that no crash parts them.
CREATE TABLE outbox (
    n          INTEGER PRIMARY KEY,
    event      TEXT NOT NULL,                      -- webhook-id: by it a receiver knows what it has been told already
    type       TEXT NOT NULL,
    url        TEXT NOT NULL,
    at         REAL NOT NULL,
    data       TEXT NOT NULL,                      -- JSON: how the batch stood then
    settled_at REAL                                -- NULL: still owed
);
