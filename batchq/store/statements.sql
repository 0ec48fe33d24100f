-- Every statement on a batch's file but the schema. A name, a purpose, the statement.
-- Hot statements answer with one row that holds JSON: a fetch of many rows gives up and takes back Python's
-- global lock once per row, and beside a busy event loop each of those costs a switch interval.

-- create_batch
-- The batch's row, once.
INSERT INTO batch (one, batch_id, uuid, state, changed_at, created_at, concurrency, workers, timeout,
                   retry_attempts, spec, handler, seal, priority, served)
VALUES (1, :batch_id, :uuid, 'queued', :now, :now, :concurrency, :workers, :timeout, :retry_attempts, :spec,
        :handler, :seal, :priority, :served);

-- respecify
-- Another function or other settings for what is left.
UPDATE batch SET concurrency = :concurrency, workers = :workers, timeout = :timeout, retry_attempts = :retry_attempts,
                 spec = :spec, handler = :handler, seal = :seal;

-- read_handler
SELECT handler, seal FROM batch;

-- create_tally
INSERT INTO tally (one) VALUES (1);

-- read_batch
SELECT batch_id, uuid, state, reason, created_at, started_at, ended_at, epoch, input_done, spec,
       input_offset, input_line, input_records, input_digest
FROM batch;

-- read_tally
SELECT items, success, failed, attempts, retries, recovered, interruptions, duration_us FROM tally;

-- read_reused
-- Items that have succeeded without an attempt: their results are those of items that were done before.
SELECT coalesce((SELECT success FROM tries WHERE attempts = 0), 0);

-- read_progress
-- One row for whoever follows a batch: costs the same at ten items and at ten million.
SELECT b.state, b.reason, b.input_done, t.items, t.success, t.failed, t.attempts, t.retries, t.recovered,
       t.interruptions, t.duration_us, b.changed_at
FROM batch b, tally t;

-- set_limits
-- Other limits for what is left; a batch that has ended keeps its own.
UPDATE batch
SET concurrency = :concurrency, workers = :workers, timeout = :timeout, retry_attempts = :retry_attempts,
    rate = :rate, spec = :spec, changed_at = max(:now, changed_at + 0.001);

-- set_state
-- The state asked for holds only if nobody changed it meanwhile.
UPDATE batch
SET state = :state, changed_at = max(:now, changed_at + 0.001),
    reason = coalesce(:reason, CASE WHEN :state IN ('paused', 'cancelled') AND :before <> 'queued' THEN reason END),
    started_at = coalesce(started_at, CASE WHEN :state IN ('filling', 'running') THEN :now END),
    ended_at = CASE WHEN :state IN ('completed', 'cancelled', 'failed') THEN :now END
WHERE state = :before;

-- begin_epoch
UPDATE batch SET epoch = epoch + 1;

-- begin_session
INSERT INTO sessions (epoch, pid, started_at) VALUES (?, ?, ?);

-- note_session
UPDATE sessions SET active_ms = ? WHERE epoch = ?;

-- end_session
UPDATE sessions SET ended_at = ? WHERE epoch = ?;

-- read_turn
-- What a server has to know of a batch; the last session has ended of itself, or there was none.
SELECT b.state, b.priority, b.created_at, b.served, s.epoch IS NULL OR s.ended_at IS NOT NULL, s.pid
FROM batch b LEFT JOIN sessions s ON s.epoch = (SELECT max(epoch) FROM sessions);

-- serve_batch
UPDATE batch SET served = max(served, ?);

-- disown_batch
-- Somebody runs it himself: a server has only adopted it then.
UPDATE batch SET served = min(served, 1);

-- tell_why_not
-- Why a batch that waits has not begun; where it has begun meanwhile, it is no longer true.
UPDATE batch SET reason = ? WHERE state = ?;

-- set_priority
UPDATE batch SET priority = ?, changed_at = max(?, changed_at + 0.001);

-- read_sessions
SELECT count(*), min(started_at), coalesce(sum(active_ms), 0) FROM sessions;

-- insert_item
-- '' stands for NULL, which is slow to bind.
INSERT INTO items (seq, item_id, line, payload) VALUES (?, nullif(?, ''), ?, ?);

-- note_position
UPDATE batch
SET input_offset = ?, input_line = ?, input_records = ?, input_digest = ?, input_done = ?;

-- count_items
-- From the row that holds the highest key: items are stored in order and never deleted.
UPDATE tally SET items = coalesce((SELECT max(seq) FROM items), 0);

-- input_ended
-- Nothing more of it is read; ?1: although there was more.
UPDATE batch SET input_done = 1, input_cut = max(input_cut, ?1);

-- is_input_cut
SELECT input_cut FROM batch;

-- insert_chunk
INSERT INTO ack_queue_chunks (data, timestamp, status, first_seq, last_seq, bytes, lane, redelivered)
VALUES (json_array(?1, ?2), ?6, 1, ?1, ?2, ?3, ?4, ?5);

-- read_owner
-- The file knows whose it is, wherever it lies.
SELECT batch_id FROM batch;

-- read_gate
SELECT epoch, state FROM batch;

-- any_ready
SELECT EXISTS (SELECT 1 FROM ack_queue_chunks WHERE status < 2 AND lane = ?);

-- ready_chunks
-- Lowest seq first, not lowest _id: what was put back would go to the end.
SELECT json_group_array(json_array(_id, first_seq, last_seq, bytes, redelivered))
FROM (SELECT _id, first_seq, last_seq, bytes, redelivered FROM ack_queue_chunks
      WHERE status < 2 AND lane = ? ORDER BY first_seq LIMIT ?);

-- count_ready_to
-- By the index alone, up to a limit: to read as many takes a hundred times as long.
SELECT count(*) FROM (SELECT 1 FROM ack_queue_chunks WHERE status < 2 AND lane = ? LIMIT ?);

-- claim_chunks
-- Inside the transaction that chose them, so that nobody else can have taken one.
UPDATE ack_queue_chunks SET status = 2, claimant = ?, epoch = ?
WHERE status < 2 AND _id IN (SELECT value FROM json_each(?));

-- shorten_chunk
-- What is left of a chunk whose first part is claimed stays in its place.
UPDATE ack_queue_chunks SET first_seq = ?2, data = json_array(?2, last_seq), bytes = bytes - ?3
WHERE _id = ?1;

-- insert_claimed_part
INSERT INTO ack_queue_chunks (data, timestamp, status, first_seq, last_seq, bytes, lane, redelivered,
                              claimant, epoch)
VALUES (json_array(?1, ?2), ?8, 2, ?1, ?2, ?3, ?4, ?5, ?6, ?7);

-- items_of_chunk
-- A chunk claimed for the first time. Payloads come as one text, cut apart by their lengths.
SELECT json_group_array(json_array(seq, coalesce(item_id, 'item-' || seq), run, length(payload))),
       group_concat(payload, '')
FROM items WHERE seq BETWEEN ? AND ?;

-- items_left_of_chunk
-- A chunk claimed again: without the items that have an outcome, with the attempts that failed.
SELECT json_group_array(json_array(seq, item_id, run, length(payload), tries, spent, delay, not_before)),
       group_concat(payload, '')
FROM (SELECT i.seq, coalesce(i.item_id, 'item-' || i.seq) AS item_id, i.run, i.payload,
             count(a.n) AS tries, coalesce(sum(a.duration_us), 0) AS spent,
             coalesce(max(a.delay_ms), 0) AS delay, coalesce(max(a.not_before), 0) AS not_before
      FROM items i LEFT JOIN attempts a ON a.seq = i.seq AND a.run = i.run
      WHERE i.seq BETWEEN ?1 AND ?2
        AND NOT EXISTS (SELECT 1 FROM outcomes o WHERE o.seq = i.seq AND o.run = i.run)
      GROUP BY i.seq);

-- ack_chunks
UPDATE ack_queue_chunks SET status = 5, claimant = NULL
WHERE status = 2 AND claimant = ? AND _id IN (SELECT value FROM json_each(?));

-- mark_chunk
-- persist-queue's own way to claim, ack and put back one message.
UPDATE ack_queue_chunks SET status = ?2, claimant = ?3 WHERE _id = ?1;

-- move_chunk
-- persist-queue's update(): another range under the same message.
UPDATE ack_queue_chunks SET first_seq = ?2, last_seq = ?3, data = json_array(?2, ?3) WHERE _id = ?1;

-- delete_chunk
DELETE FROM ack_queue_chunks WHERE _id = ?;

-- read_claimed
SELECT first_seq, last_seq, lane, redelivered, bytes FROM ack_queue_chunks
WHERE _id = ? AND status = 2 AND claimant = ?;

-- put_back_chunk
UPDATE ack_queue_chunks SET status = 1, claimant = NULL, epoch = NULL
WHERE _id = ? AND status = 2 AND claimant = ?;

-- shrink_claimed
UPDATE ack_queue_chunks SET last_seq = ?2, data = json_array(first_seq, ?2), bytes = bytes - ?3
WHERE _id = ?1;

-- narrow_claimed
UPDATE ack_queue_chunks SET first_seq = ?2, last_seq = ?3, data = json_array(?2, ?3), bytes = ?4
WHERE _id = ?1;

-- claims_of
SELECT json_group_array(json_array(_id, first_seq, last_seq, lane)) FROM ack_queue_chunks
WHERE status = 2 AND claimant = ?;

-- claimants
SELECT DISTINCT claimant FROM ack_queue_chunks WHERE status = 2;

-- unfinished_in_range
SELECT json_group_array(seq) FROM items i
WHERE seq BETWEEN ? AND ?
  AND NOT EXISTS (SELECT 1 FROM outcomes o WHERE o.seq = i.seq AND o.run = i.run);

-- unfinished_among
SELECT json_group_array(seq) FROM items i
WHERE seq IN (SELECT value FROM json_each(?))
  AND NOT EXISTS (SELECT 1 FROM outcomes o WHERE o.seq = i.seq AND o.run = i.run);

-- release_claims
UPDATE ack_queue_chunks SET status = 1, claimant = NULL, epoch = NULL, redelivered = 1
WHERE status = 2 AND claimant = ?;

-- release_all_claims
UPDATE ack_queue_chunks SET status = 1, claimant = NULL, epoch = NULL, redelivered = 1 WHERE status = 2;

-- purge_acked
DELETE FROM ack_queue_chunks WHERE status = 5;

-- count_ready
SELECT count(*) FROM ack_queue_chunks WHERE status < 2;

-- any_open
-- Ready or unacked: something still has to run.
SELECT EXISTS (SELECT 1 FROM ack_queue_chunks WHERE status < 2)
    OR EXISTS (SELECT 1 FROM ack_queue_chunks WHERE status = 2);

-- ready_lanes
SELECT lane, count(*) FROM ack_queue_chunks WHERE status < 2 AND lane > 0 GROUP BY lane;

-- count_interruptions
UPDATE items SET interruptions = interruptions + 1
WHERE seq IN (SELECT value FROM json_each(?))
  AND NOT EXISTS (SELECT 1 FROM outcomes o WHERE o.seq = items.seq AND o.run = items.run);

-- tally_interruptions
UPDATE tally SET interruptions = interruptions + ?;

-- suspects_among
SELECT json_group_array(seq) FROM items
WHERE seq IN (SELECT value FROM json_each(?)) AND interruptions >= ?;

-- count_deaths
UPDATE items SET deaths = deaths + 1 WHERE seq IN (SELECT value FROM json_each(?));

-- read_deaths
SELECT seq, deaths FROM items WHERE seq IN (SELECT value FROM json_each(?));

-- read_run
-- How an item stands: its run, the attempts of it that failed and the time that they took, with that of the stages that
-- are done; how many of its first ?2 stages are done, and how many of the attempts were at the one after them.
SELECT i.run, count(a.n),
       coalesce(sum(a.duration_us), 0)
       + (SELECT coalesce(sum(s.duration_us), 0) FROM stages s WHERE s.seq = i.seq AND s.run = i.run),
       i.done, count(a.n) FILTER (WHERE a.stage > i.done)
FROM (SELECT seq, run, coalesce((SELECT max(s.stage) FROM stages s WHERE s.seq = items.seq AND s.stage <= ?2), 0) AS done
      FROM items WHERE seq = ?1) i
LEFT JOIN attempts a ON a.seq = i.seq AND a.run = i.run;

-- insert_outcome
-- The unique index on (seq, run) refuses a second outcome of a run. 0 stands for NULL, which is slow to bind.
INSERT OR IGNORE INTO outcomes (seq, run, success, attempts, duration_us, bucket, ended_ms, worker, error_group,
                                error_type, error, result)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, nullif(?, 0), nullif(?, 0), nullif(?, 0), nullif(?, 0));

-- insert_attempt
INSERT OR IGNORE INTO attempts (seq, run, number, started_ms, duration_us, worker, delay_ms, not_before,
                                error_group, error_type, error, traceback, stage)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?);

-- insert_stage
-- The first result of a stage stays: what came after it was made of that one.
INSERT OR IGNORE INTO stages (seq, stage, run, attempts, duration_us, ended_ms, worker, result)
VALUES (?, ?, ?, ?, ?, ?, ?, ?);

-- reached_in_range
-- How far items have come that have no outcome: how many of their first ?3 stages are done, what the last of these has
-- given, the attempts of this run that failed before it was done, and the time that the stages took in this run.
SELECT json_group_array(json_array(s.seq, s.stage,
    (SELECT count(*) FROM attempts a WHERE a.seq = s.seq AND a.run = i.run AND a.stage <= s.stage),
    (SELECT coalesce(sum(e.duration_us), 0) FROM stages e WHERE e.seq = s.seq AND e.run = i.run AND e.stage <= s.stage),
    s.result))
FROM stages s JOIN items i ON i.seq = s.seq
WHERE s.seq BETWEEN ?1 AND ?2
  AND s.stage = (SELECT max(m.stage) FROM stages m WHERE m.seq = s.seq AND m.stage <= ?3)
  AND NOT EXISTS (SELECT 1 FROM outcomes o WHERE o.seq = i.seq AND o.run = i.run);

-- has_stages
-- Whether the file knows of stages.
SELECT EXISTS (SELECT 1 FROM sqlite_master WHERE name = 'stages');

-- stages_of_item
SELECT stage, run, attempts, duration_us, ended_ms, worker, result FROM stages WHERE seq = ? ORDER BY stage;

-- stages_done
-- How many of the first ?2 stages of these items are done.
SELECT seq, max(stage) FROM stages WHERE seq IN (SELECT value FROM json_each(?1)) AND stage <= ?2 GROUP BY seq;

-- page_of_stage
-- As page_of_results, of what one stage has given.
SELECT i.seq, coalesce(i.item_id, 'item-' || i.seq), i.line, 1, s.result, NULL, NULL, s.attempts, s.duration_us,
       s.ended_ms, CASE WHEN ?3 THEN i.payload END
FROM stages s JOIN items i ON i.seq = s.seq
WHERE s.seq > ?1 AND s.stage = ?4 ORDER BY s.seq LIMIT ?2;

-- forget_stages
-- What these items have been given from a stage on is to be made anew.
DELETE FROM stages WHERE seq IN (SELECT value FROM json_each(?1)) AND stage >= ?2;

-- check_stages
SELECT count(*) FROM stages s WHERE NOT EXISTS (SELECT 1 FROM items i WHERE i.seq = s.seq);

-- forget_stray_stages
DELETE FROM stages WHERE NOT EXISTS (SELECT 1 FROM items i WHERE i.seq = stages.seq);

-- last_numbers
SELECT coalesce((SELECT max(n) FROM outcomes), 0), coalesce((SELECT max(n) FROM attempts), 0);

-- tally_outcomes
UPDATE tally SET success = success + ?1, failed = failed + ?2, recovered = recovered + ?3,
                 attempts = attempts + ?1 - ?5, duration_us = duration_us + ?4;

-- tally_attempts
UPDATE tally SET attempts = tally.attempts + d.attempts, retries = tally.retries + d.retries
FROM (SELECT count(*) AS attempts, count(delay_ms) AS retries FROM attempts WHERE n > ?) d;

-- count_latency
INSERT INTO latency (bucket, items)
SELECT json_extract(value, '$[0]'), json_extract(value, '$[1]') FROM json_each(?) WHERE true
ON CONFLICT (bucket) DO UPDATE SET items = latency.items + excluded.items;

-- count_intervals
INSERT INTO intervals (start_s, success, failed, busy_us)
SELECT json_extract(value, '$[0]'), json_extract(value, '$[1]'), json_extract(value, '$[2]'), json_extract(value, '$[3]')
FROM json_each(?) WHERE true
ON CONFLICT (start_s) DO UPDATE
SET success = intervals.success + excluded.success, failed = intervals.failed + excluded.failed,
    busy_us = intervals.busy_us + excluded.busy_us;

-- count_retried
INSERT INTO retried (start_s, retries)
SELECT (started_ms + duration_us / 1000) / 10000 * 10, count(*) FROM attempts
WHERE n > ? AND delay_ms IS NOT NULL GROUP BY 1
ON CONFLICT (start_s) DO UPDATE SET retries = retried.retries + excluded.retries;

-- count_tries
INSERT INTO tries (attempts, success, failed)
SELECT json_extract(value, '$[0]'), json_extract(value, '$[1]'), json_extract(value, '$[2]')
FROM json_each(?) WHERE true
ON CONFLICT (attempts) DO UPDATE
SET success = tries.success + excluded.success, failed = tries.failed + excluded.failed;

-- count_shares
INSERT INTO shares (worker, items, busy_us)
SELECT json_extract(value, '$[0]'), json_extract(value, '$[1]'), json_extract(value, '$[2]')
FROM json_each(?) WHERE true
ON CONFLICT (worker) DO UPDATE SET items = shares.items + excluded.items, busy_us = shares.busy_us + excluded.busy_us;

-- insert_error_group
INSERT INTO error_groups (fingerprint, error_type, message, frame, first_ms, last_ms)
VALUES (?1, ?2, ?3, ?4, ?5, ?5) ON CONFLICT (fingerprint) DO NOTHING;

-- error_group_id
SELECT id FROM error_groups WHERE fingerprint = ?;

-- count_error_groups
SELECT count(*) FROM error_groups;

-- group_attempts
UPDATE error_groups SET attempts = error_groups.attempts + d.attempts,
    last_ms = max(error_groups.last_ms, d.last_ms)
FROM (SELECT error_group, count(*) AS attempts, max(started_ms) AS last_ms
      FROM attempts WHERE n > ? GROUP BY error_group) d
WHERE id = d.error_group;

-- group_failures
-- An item that fails again in a later run is the same example.
UPDATE error_groups SET failed = error_groups.failed + d.failed,
    last_ms = max(error_groups.last_ms, d.last_ms),
    examples = CASE WHEN json_array_length(examples) >= 5 THEN examples ELSE (
        SELECT json_group_array(seq) FROM (
            SELECT value AS seq FROM json_each(examples)
            UNION SELECT o.seq FROM outcomes o WHERE o.n > ?1 AND o.success = 0 AND o.error_group = error_groups.id
            LIMIT 5)) END
FROM (SELECT error_group, count(*) AS failed, max(ended_ms) AS last_ms
      FROM outcomes WHERE n > ?1 AND success = 0 GROUP BY error_group) d
WHERE id = d.error_group;

-- read_error_groups
SELECT error_type, message, frame, failed, attempts, first_ms, last_ms, examples FROM error_groups
WHERE failed > 0 OR attempts > 0 ORDER BY failed DESC, attempts DESC, id LIMIT ?;

-- read_latency
SELECT bucket, items FROM latency ORDER BY bucket;

-- has_busy
-- Whether the intervals tell how long handlers worked.
SELECT EXISTS (SELECT 1 FROM pragma_table_info('intervals') WHERE name = 'busy_us');

-- read_intervals
SELECT start_s, success, failed, busy_us FROM intervals ORDER BY start_s;

-- read_old_intervals
-- In the file of an earlier batchq.
SELECT start_s, success, failed, NULL FROM intervals ORDER BY start_s;

-- fine_intervals
-- The last outcomes in intervals of one second: a small batch is over before ten of them have passed.
SELECT ended_ms / 1000, sum(success), sum(1 - success), sum(duration_us) FROM outcomes
WHERE n > ? GROUP BY 1 ORDER BY 1;

-- read_retried
SELECT start_s, retries FROM retried ORDER BY start_s;

-- fine_retried
-- In intervals of one second, as fine_intervals.
SELECT (started_ms + duration_us / 1000) / 1000, count(*) FROM attempts
WHERE n > ? AND delay_ms IS NOT NULL GROUP BY 1 ORDER BY 1;

-- read_tries
SELECT attempts, success, failed FROM tries WHERE success > 0 OR failed > 0 ORDER BY attempts;

-- read_shares
-- Those that did most; workers that are replaced now and then may be many.
SELECT worker, items, busy_us FROM shares ORDER BY items DESC, worker LIMIT ?;

-- total_shares
SELECT count(*), coalesce(sum(items), 0) FROM shares;

-- read_spans
-- When somebody worked on the batch; of very many sessions the last.
SELECT started_at, active_ms / 1000.0 FROM sessions ORDER BY epoch DESC LIMIT ?;

-- rate_since
-- Not from the future either: those came before the clock was set back.
SELECT coalesce(sum(success + failed), 0), min(start_s) FROM intervals WHERE start_s BETWEEN ? AND ?;

-- last_session
SELECT max(started_at) FROM sessions;

-- name_items
-- The few items that a report names as examples.
SELECT seq, coalesce(item_id, 'item-' || seq) FROM items WHERE seq IN (SELECT value FROM json_each(?));

-- page_of_results
-- In the order of the input, from behind a seq: pages are found by key, so each costs the same.
-- A payload that was not asked for is not read from its pages.
SELECT i.seq, coalesce(i.item_id, 'item-' || i.seq), i.line, o.success, o.result, o.error_type, o.error,
       o.attempts, o.duration_us, o.ended_ms, CASE WHEN ?3 THEN i.payload END
FROM items i JOIN outcomes o ON o.seq = i.seq AND o.run = i.run
WHERE i.seq > ?1 AND o.n <= ?4 ORDER BY i.seq LIMIT ?2;

-- page_of_failures
SELECT i.seq, coalesce(i.item_id, 'item-' || i.seq), i.line, o.success, o.result, o.error_type, o.error,
       o.attempts, o.duration_us, o.ended_ms, CASE WHEN ?3 THEN i.payload END
FROM outcomes o JOIN items i ON i.seq = o.seq AND i.run = o.run
WHERE o.success = 0 AND o.seq > ?1 AND o.n <= ?4 ORDER BY o.seq LIMIT ?2;

-- outcomes_after
-- In the order in which they were committed: whoever follows a batch goes on behind the last number that he has.
SELECT o.n, i.seq, coalesce(i.item_id, 'item-' || i.seq), i.line, o.success, o.result, o.error_type, o.error,
       o.attempts, o.duration_us, o.ended_ms
FROM outcomes o JOIN items i ON i.seq = o.seq AND i.run = o.run
WHERE o.n > ?1 ORDER BY o.n LIMIT ?2;

-- page_of_commits
-- Every outcome in the order in which they were committed, those included that a later run of the item has replaced.
SELECT o.n, i.seq, coalesce(i.item_id, 'item-' || i.seq), i.line, o.success, o.result, o.error_type, o.error,
       o.attempts, o.duration_us, o.ended_ms, CASE WHEN ?3 THEN i.payload END, o.run
FROM outcomes o JOIN items i ON i.seq = o.seq
WHERE o.n > ?1 ORDER BY o.n LIMIT ?2;

-- page_of_lines
-- As page_of_results, each row as its line of JSON: put together here it costs a quarter of what it does in Python
-- (measured), and what is stored as JSON stays as it is. ?3 is what each line begins with.
SELECT i.seq, printf('{%s"seq": %d, "id": %s, "line": %d, "status": %s, "attempts": %d, "duration": %s}' || char(10),
       ?3, i.seq, json_quote(coalesce(i.item_id, 'item-' || i.seq)), i.line,
       CASE WHEN o.success THEN '"success", "result": ' || o.result
            ELSE '"failed", "error_type": ' || json_quote(o.error_type) || ', "error": ' || json_quote(o.error) END,
       o.attempts, o.duration_us / 1e6)
FROM items i JOIN outcomes o ON o.seq = i.seq AND o.run = i.run
WHERE i.seq > ?1 ORDER BY i.seq LIMIT ?2;

-- page_of_committed_lines
-- The same of page_of_commits.
SELECT o.n, printf('{%s"seq": %d, "run": %d, "id": %s, "line": %d, "status": %s, "attempts": %d, "duration": %s}'
       || char(10), ?3, i.seq, o.run, json_quote(coalesce(i.item_id, 'item-' || i.seq)), i.line,
       CASE WHEN o.success THEN '"success", "result": ' || o.result
            ELSE '"failed", "error_type": ' || json_quote(o.error_type) || ', "error": ' || json_quote(o.error) END,
       o.attempts, o.duration_us / 1e6)
FROM outcomes o JOIN items i ON i.seq = o.seq
WHERE o.n > ?1 ORDER BY o.n LIMIT ?2;

-- page_of_failed_lines
-- Of the outcomes up to a number those that are failures, each as its line of JSON.
SELECT o.n, printf('{"seq": %d, "run": %d, "id": %s, "line": %d, "status": "failed", "error_type": %s, "error": %s, '
       || '"attempts": %d, "duration": %s}', i.seq, o.run, json_quote(coalesce(i.item_id, 'item-' || i.seq)), i.line,
       json_quote(o.error_type), json_quote(o.error), o.attempts, o.duration_us / 1e6)
FROM outcomes o JOIN items i ON i.seq = o.seq
WHERE o.n > ?1 AND o.n <= ?2 AND NOT o.success ORDER BY o.n;

-- untally
-- What the outcomes of these items have added is taken away: they are about to become history.
UPDATE tally SET
    success = tally.success - d.success, failed = tally.failed - d.failed,
    recovered = tally.recovered - d.recovered, duration_us = tally.duration_us - d.duration_us
FROM (SELECT coalesce(sum(o.success), 0) AS success, coalesce(sum(1 - o.success), 0) AS failed,
             coalesce(sum(o.success AND o.attempts > 1), 0) AS recovered,
             coalesce(sum(o.duration_us), 0) AS duration_us
      FROM items i JOIN outcomes o ON o.seq = i.seq AND o.run = i.run
      WHERE i.seq IN (SELECT value FROM json_each(?))) d;

-- uncount_latency
UPDATE latency SET items = latency.items - d.items
FROM (SELECT o.bucket AS bucket, count(*) AS items
      FROM items i JOIN outcomes o ON o.seq = i.seq AND o.run = i.run
      WHERE i.seq IN (SELECT value FROM json_each(?)) AND o.attempts > 0 GROUP BY o.bucket) d
WHERE latency.bucket = d.bucket;

-- uncount_tries
UPDATE tries SET success = tries.success - d.success, failed = tries.failed - d.failed
FROM (SELECT o.attempts AS attempts, sum(o.success) AS success, sum(1 - o.success) AS failed
      FROM items i JOIN outcomes o ON o.seq = i.seq AND o.run = i.run
      WHERE i.seq IN (SELECT value FROM json_each(?)) GROUP BY o.attempts) d
WHERE tries.attempts = d.attempts;

-- ungroup_failures
UPDATE error_groups SET failed = error_groups.failed - d.failed
FROM (SELECT o.error_group AS error_group, count(*) AS failed
      FROM items i JOIN outcomes o ON o.seq = i.seq AND o.run = i.run
      WHERE i.seq IN (SELECT value FROM json_each(?)) AND o.success = 0 GROUP BY o.error_group) d
WHERE id = d.error_group;

-- rerun_items
UPDATE items SET run = run + 1, interruptions = 0, deaths = 0 WHERE seq IN (SELECT value FROM json_each(?));

-- recent_outcomes
-- Of this session, the newest first; records that could not be read were never run.
SELECT success, error_group FROM outcomes WHERE n > ? AND attempts > 0 ORDER BY n DESC LIMIT ?;

-- newest_outcomes
-- What counts.Counts wants to know of them.
SELECT success, attempts, duration_us, bucket, ended_ms, worker FROM outcomes ORDER BY n DESC LIMIT ?;

-- last_attempt
SELECT coalesce(max(n), 0) FROM attempts;

-- last_outcome
SELECT coalesce(max(n), 0) FROM outcomes;

-- error_of_item
SELECT o.error FROM items i JOIN outcomes o ON o.seq = i.seq AND o.run = i.run WHERE i.seq = ?;

-- page_of_ids
-- In pages, so that no read transaction lasts.
SELECT seq, item_id FROM items WHERE seq > ? ORDER BY seq LIMIT ?;

-- read_successes
-- Items that have succeeded, with what was made of them, a page after an item.
SELECT i.seq, i.payload, o.result FROM items i JOIN outcomes o ON o.seq = i.seq AND o.run = i.run
WHERE i.seq > ? AND o.success = 1 ORDER BY i.seq LIMIT ?;

-- check_items_without_message
-- Invariant (a): each item without an outcome lies in exactly one ready or unacked message.
SELECT count(*) FROM items i
WHERE NOT EXISTS (SELECT 1 FROM outcomes o WHERE o.seq = i.seq AND o.run = i.run)
  AND (SELECT count(*) FROM ack_queue_chunks c
       WHERE c.status < 3 AND i.seq BETWEEN c.first_seq AND c.last_seq) <> 1;

-- check_tally
-- Invariant (b): the tally equals the rows.
SELECT t.items = (SELECT count(*) FROM items)
   AND t.success = (SELECT count(*) FROM items i JOIN outcomes o USING (seq, run) WHERE o.success = 1)
   AND t.failed = (SELECT count(*) FROM items i JOIN outcomes o USING (seq, run) WHERE o.success = 0)
   AND t.duration_us = (SELECT coalesce(sum(o.duration_us), 0) FROM items i JOIN outcomes o USING (seq, run))
   AND t.attempts = (SELECT count(*) FROM attempts) + (SELECT coalesce(sum(success AND attempts > 0), 0) FROM outcomes)
   AND (SELECT coalesce(sum(items), 0) FROM latency) = 
       (SELECT count(*) FROM items i JOIN outcomes o USING (seq, run) WHERE o.attempts > 0)
   AND (SELECT coalesce(sum(success + failed), 0) FROM intervals) = (SELECT count(*) FROM outcomes)
   AND (SELECT coalesce(sum(busy_us), 0) FROM intervals) = (SELECT coalesce(sum(duration_us), 0) FROM outcomes)
   AND (SELECT coalesce(sum(success + failed), 0) FROM tries) =
       (SELECT count(*) FROM items i JOIN outcomes o USING (seq, run))
   AND (SELECT coalesce(sum(items), 0) FROM shares) = (SELECT count(*) FROM outcomes)
   AND (SELECT coalesce(sum(failed), 0) FROM error_groups) =
       (SELECT count(*) FROM items i JOIN outcomes o USING (seq, run) WHERE o.success = 0)
FROM tally t;

-- check_input
-- Invariant (c): the input position equals the items stored.
SELECT b.input_records = (SELECT count(*) FROM items) FROM batch b;

-- last_item
SELECT coalesce(max(seq), 0) FROM items;

-- forget_chunks
DELETE FROM ack_queue_chunks;

-- recount_tally
UPDATE tally SET
    items = (SELECT count(*) FROM items),
    success = d.success, failed = d.failed, recovered = d.recovered, duration_us = d.duration_us,
    attempts = (SELECT count(*) FROM attempts) + (SELECT coalesce(sum(success AND attempts > 0), 0) FROM outcomes),
    retries = (SELECT count(delay_ms) FROM attempts)
FROM (SELECT coalesce(sum(o.success), 0) AS success, coalesce(sum(1 - o.success), 0) AS failed,
             coalesce(sum(o.success AND o.attempts > 1), 0) AS recovered,
             coalesce(sum(o.duration_us), 0) AS duration_us
      FROM items i JOIN outcomes o ON o.seq = i.seq AND o.run = i.run) d;

-- forget_latency
DELETE FROM latency;

-- recount_latency
INSERT INTO latency (bucket, items)
SELECT o.bucket, count(*) FROM items i JOIN outcomes o ON o.seq = i.seq AND o.run = i.run
WHERE o.attempts > 0 GROUP BY o.bucket;

-- forget_intervals
DELETE FROM intervals;

-- recount_intervals
INSERT INTO intervals (start_s, success, failed, busy_us)
SELECT ended_ms / 10000 * 10, sum(success), sum(1 - success), sum(duration_us) FROM outcomes GROUP BY 1;

-- forget_retried
DELETE FROM retried;

-- recount_retried
INSERT INTO retried (start_s, retries)
SELECT (started_ms + duration_us / 1000) / 10000 * 10, count(*) FROM attempts WHERE delay_ms IS NOT NULL GROUP BY 1;

-- forget_tries
DELETE FROM tries;

-- recount_tries
INSERT INTO tries (attempts, success, failed)
SELECT o.attempts, sum(o.success), sum(1 - o.success)
FROM items i JOIN outcomes o ON o.seq = i.seq AND o.run = i.run GROUP BY o.attempts;

-- forget_shares
DELETE FROM shares;

-- recount_shares
INSERT INTO shares (worker, items, busy_us)
SELECT worker, count(*), sum(duration_us) FROM outcomes GROUP BY worker;

-- recount_groups
UPDATE error_groups SET failed = (
    SELECT count(*) FROM outcomes o JOIN items i ON i.seq = o.seq AND i.run = o.run
    WHERE o.success = 0 AND o.error_group = error_groups.id);

-- recount_input
UPDATE batch SET input_records = (SELECT count(*) FROM items);

-- read_rates
SELECT unit, amount, seconds FROM pace WHERE name != ? ORDER BY name;

-- insert_pace
-- A limit that is new or changed; what was started under the former one is forgotten.
INSERT INTO pace (name, unit, amount, seconds) VALUES (?, ?, ?, ?)
ON CONFLICT (name) DO UPDATE SET amount = excluded.amount, seconds = excluded.seconds, until_ns = NULL;

-- delete_pace
DELETE FROM pace WHERE name = ?;

-- read_pace
SELECT name, until_ns, boot, until_ms, ahead_ns FROM pace WHERE until_ns IS NOT NULL;

-- read_waits
SELECT name, unit, amount, seconds, until_ms, ahead_ns FROM pace WHERE until_ms IS NOT NULL;

-- pay
UPDATE pace SET until_ns = ?, boot = ?, until_ms = ?, ahead_ns = ? WHERE name = ?;

-- has_spent
SELECT EXISTS (SELECT 1 FROM sqlite_master WHERE name = 'spent');

-- note_exit_code
UPDATE batch SET exit_code = ?;

-- read_exit_code
SELECT exit_code FROM batch WHERE state = 'failed';

-- read_spent
SELECT unit, amount FROM spent WHERE amount != 0 ORDER BY unit;

-- add_spent
INSERT INTO spent (unit, amount) VALUES (?, ?)
ON CONFLICT (unit) DO UPDATE SET amount = amount + excluded.amount;

-- reserve_spent
INSERT INTO spent (unit, reserved) VALUES (?, ?)
ON CONFLICT (unit) DO UPDATE SET reserved = reserved + excluded.reserved;

-- wait_to_spend
INSERT INTO spent (unit, waiting) VALUES (?, ?)
ON CONFLICT (unit) DO UPDATE SET waiting = waiting + excluded.waiting;

-- read_waiting
SELECT unit, waiting FROM spent WHERE waiting > 0;

-- spend_reserved
-- Sums of many fractions do not end at 0: what is less than a billionth is none.
UPDATE spent SET amount = amount + CASE WHEN reserved > 1e-9 THEN reserved ELSE 0 END, reserved = 0, waiting = 0;

-- read_budgets
SELECT unit, budget FROM spent WHERE budget IS NOT NULL ORDER BY unit;

-- forget_budgets
UPDATE spent SET budget = NULL;

-- set_budget
INSERT INTO spent (unit, budget) VALUES (?, ?) ON CONFLICT (unit) DO UPDATE SET budget = excluded.budget;

-- note_skipped
INSERT INTO skipped (reason, records) VALUES (?, ?) ON CONFLICT (reason) DO UPDATE SET records = excluded.records;

-- note_whole
-- The specification may have changed since it was read: this changes nothing else in it.
UPDATE batch SET spec = json_set(spec, '$.source.digest', ?);

-- read_skipped
SELECT reason, records FROM skipped WHERE records > 0 ORDER BY reason;

-- reopen_input
-- The rest of an input of which only the first records were read; what had ended with them goes on.
UPDATE batch
SET spec = ?1, input_done = 0, changed_at = changed_at + 0.001,
    ended_at = CASE WHEN state = ?2 THEN NULL ELSE ended_at END,
    state = CASE WHEN state = ?2 THEN 'filling' ELSE state END;

-- find_items
-- A scan, and no index, which would cost each insert: a million items are looked through in a fraction of a second,
-- because the id stands before the payload.
SELECT seq FROM items WHERE item_id IN (?, ?) ORDER BY seq LIMIT ?;

-- near_items
-- Ids of about the same length, those first that begin and end alike: a mistake leaves one half of an id as it was, or
-- at least its ends.
SELECT item_id FROM items
WHERE length(item_id) BETWEEN length(?1) - 1 AND length(?1) + 1
  AND (substr(item_id, 1, ?3) = substr(?1, 1, ?3) OR substr(item_id, -?3) = substr(?1, -?3))
ORDER BY (substr(item_id, 1, ?2) = substr(?1, 1, ?2)) + (substr(item_id, -?2) = substr(?1, -?2))
       + (substr(item_id, 1, ?3) = substr(?1, 1, ?3)) + (substr(item_id, -?3) = substr(?1, -?3)) DESC
LIMIT ?4;

-- read_item
SELECT seq, coalesce(item_id, 'item-' || seq), item_id IS NOT NULL, line, run, interruptions, deaths, payload
FROM items WHERE seq = ?;

-- is_claimed
SELECT EXISTS (SELECT 1 FROM ack_queue_chunks WHERE status = 2 AND ? BETWEEN first_seq AND last_seq);

-- outcomes_of_item
SELECT run, success, attempts, duration_us, ended_ms, worker, error_type, error, result
FROM outcomes WHERE seq = ? ORDER BY run;

-- attempts_of_item
SELECT run, number, started_ms, duration_us, worker, delay_ms, error_type, error, traceback, stage
FROM attempts WHERE seq = ? ORDER BY run, number;

-- attempts_of_old_item
-- In the file of an earlier batchq.
SELECT run, number, started_ms, duration_us, worker, delay_ms, error_type, error, traceback
FROM attempts WHERE seq = ? ORDER BY run, number;

-- list_items
-- Items in a range of keys with what has come of them; :success is 1, 0, -1 for none yet, or NULL for any. One without
-- an outcome may be in a worker's hands. A payload that is not searched is not read from its pages.
SELECT i.seq, coalesce(i.item_id, 'item-' || i.seq), i.line, o.success, o.error_type, substr(o.error, 1, :length),
       coalesce(o.attempts, (SELECT count(*) FROM attempts a WHERE a.seq = i.seq AND a.run = i.run)),
       coalesce(o.duration_us,
                (SELECT sum(a.duration_us) FROM attempts a WHERE a.seq = i.seq AND a.run = i.run), 0),
       o.ended_ms,
       o.n IS NULL AND EXISTS (SELECT 1 FROM ack_queue_chunks c
                               WHERE c.status = 2 AND i.seq BETWEEN c.first_seq AND c.last_seq)
FROM items i LEFT JOIN outcomes o ON o.seq = i.seq AND o.run = i.run
WHERE i.seq BETWEEN :first AND :last AND (:success IS NULL OR coalesce(o.success, -1) = :success)
  AND (:text IS NULL OR coalesce(i.item_id, 'item-' || i.seq) LIKE :text ESCAPE '\'
       OR o.error_type || ': ' || o.error LIKE :text ESCAPE '\'
       OR (:in_payload AND i.payload LIKE :text ESCAPE '\'))
ORDER BY i.seq LIMIT :rows;

-- list_failures
-- The same of failed items only, by their index.
SELECT i.seq, coalesce(i.item_id, 'item-' || i.seq), i.line, o.success, o.error_type, substr(o.error, 1, :length),
       o.attempts, o.duration_us, o.ended_ms, 0
FROM outcomes o JOIN items i ON i.seq = o.seq AND i.run = o.run
WHERE o.success = 0 AND o.seq BETWEEN :first AND :last
  AND (:error IS NULL OR o.error_type || ': ' || o.error LIKE :error ESCAPE '\')
  AND (:text IS NULL OR coalesce(i.item_id, 'item-' || i.seq) LIKE :text ESCAPE '\'
       OR o.error_type || ': ' || o.error LIKE :text ESCAPE '\'
       OR (:in_payload AND i.payload LIKE :text ESCAPE '\'))
ORDER BY o.seq LIMIT :rows;

-- end_of_failures
-- The last of the next so many failures, those included that a later run has replaced.
SELECT max(seq) FROM (SELECT seq FROM outcomes WHERE success = 0 AND seq > ? ORDER BY seq LIMIT ?);

-- ready_before
-- Ready chunks do not overlap: if one holds the item, it is this one.
SELECT first_seq, last_seq FROM ack_queue_chunks
WHERE status < 2 AND lane = 0 AND first_seq <= ? ORDER BY first_seq DESC LIMIT 1;

-- ready_after
SELECT first_seq, last_seq FROM ack_queue_chunks
WHERE status < 2 AND lane = 0 AND first_seq > ? ORDER BY first_seq LIMIT 1;

-- set_aside_after
-- What else has no outcome yet: in a worker's hands, or in quarantine.
SELECT first_seq, last_seq FROM ack_queue_chunks WHERE status = 2 AND last_seq > ?1
UNION ALL
SELECT first_seq, last_seq FROM ack_queue_chunks WHERE status < 2 AND lane > 0 AND last_seq > ?1
ORDER BY first_seq LIMIT 1;

-- read_written
SELECT number, bytes, tail FROM written;

-- note_written
INSERT INTO written (one, number, bytes, tail) VALUES (1, ?, ?, ?)
ON CONFLICT (one) DO UPDATE SET number = excluded.number, bytes = excluded.bytes, tail = excluded.tail;

-- owe
-- An event for each address of --notify; nothing where there is none, or where the specification cannot be read. Without
-- a type, what the state means: a pause without a reason was the user's own, and no news to him.
INSERT INTO outbox (event, type, url, at, data)
SELECT :event, coalesce(:type, b.type), json_each.value, :now,
       json_object('batch_id', b.batch_id,
                   'state', CASE b.type WHEN 'batch.expired' THEN 'expired' ELSE b.state END,
                   'reason', b.reason,
                   'total_items', t.items,
                   'input_done', json(CASE b.input_done WHEN 1 THEN 'true' ELSE 'false' END),
                   'processed_items', t.success + t.failed,
                   'success_count', t.success,
                   'failure_count', t.failed,
                   'failure_share', round(coalesce(1.0 * t.failed / (t.success + t.failed), 0.0), 4),
                   'attempts', t.attempts,
                   'retries', t.retries)
FROM (SELECT *, CASE WHEN state = 'completed' THEN 'batch.completed'
                     WHEN state = 'failed' THEN 'batch.halted'
                     WHEN state = 'paused' AND reason IS NOT NULL THEN 'batch.paused'
                     WHEN state = 'cancelled' AND ended_at >= json_extract(spec, '$.deadline') THEN 'batch.expired'
                     WHEN state = 'cancelled' THEN 'batch.cancelled' END AS type
      FROM (SELECT batch_id, state, reason, input_done, ended_at, iif(json_valid(spec), spec, '{}') AS spec
            FROM batch)) b, tally t, json_each(b.spec, '$.notify')
WHERE coalesce(:type, b.type) IS NOT NULL;

-- has_event
SELECT EXISTS (SELECT 1 FROM outbox WHERE type = ?);

-- read_owed
SELECT n, event, type, url, at, data FROM outbox WHERE settled_at IS NULL ORDER BY n;

-- settle
UPDATE outbox SET settled_at = ? WHERE n = ?;
