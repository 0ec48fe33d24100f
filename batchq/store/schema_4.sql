-- What schema version 4 adds.

-- What the stages of items have given, but for the last one, whose result is the outcome (start --then). A row is for all
-- runs of its item: what is here never runs again.
CREATE TABLE stages (
    n           INTEGER PRIMARY KEY,
    seq         INTEGER NOT NULL,
    stage       INTEGER NOT NULL CHECK (stage > 0),
    run         INTEGER NOT NULL CHECK (run > 0),  -- in which it was
    attempts    INTEGER NOT NULL CHECK (attempts > 0),
    duration_us INTEGER NOT NULL CHECK (duration_us >= 0),
    ended_ms    INTEGER NOT NULL,
    worker      INTEGER NOT NULL,
    result      TEXT    NOT NULL                   -- JSON
);
CREATE UNIQUE INDEX stages_item ON stages (seq, stage);

-- The stage that an attempt was made at.
ALTER TABLE attempts ADD COLUMN stage INTEGER NOT NULL DEFAULT 1 CHECK (stage > 0);

-- What calls in flight may cost: it counts as spent where whoever made them dies before they have ended.
ALTER TABLE spent ADD COLUMN reserved REAL NOT NULL DEFAULT 0;

-- What waits for its turn under a rate limit, and is spent when that has come.
ALTER TABLE spent ADD COLUMN waiting REAL NOT NULL DEFAULT 0;
