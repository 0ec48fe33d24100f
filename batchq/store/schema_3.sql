-- What schema version 3 adds.

-- Handler time of the items whose outcomes an interval has, over all attempts; counted once from those that are there.
ALTER TABLE intervals ADD COLUMN busy_us INTEGER NOT NULL DEFAULT 0;
UPDATE intervals SET busy_us = d.busy_us
FROM (SELECT ended_ms / 10000 * 10 AS start_s, sum(duration_us) AS busy_us FROM outcomes GROUP BY 1) d
WHERE d.start_s = intervals.start_s;
