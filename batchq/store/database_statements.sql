-- Every statement of BatchDatabase. A name, a purpose, the statement.
-- The ones that read work on a live batch's file too, where batch_jobs and batch_items are views.

-- insert_job
-- No row comes back where the id is taken.
INSERT INTO batch_jobs (batch_id, total_items, status, started_at, config)
VALUES (:batch_id, :total_items, 'running', :now, :config)
ON CONFLICT (batch_id) DO NOTHING RETURNING id;

-- update_job
-- NULL leaves a column as it is. A job that is taken up again has not ended.
UPDATE batch_jobs
SET processed_items = coalesce(:processed_items, processed_items),
    success_count = coalesce(:success_count, success_count),
    failure_count = coalesce(:failure_count, failure_count),
    status = coalesce(:status, status),
    completed_at = CASE WHEN :status IS NULL THEN completed_at
                        WHEN :status IN ('completed', 'failed', 'cancelled') THEN :now END
WHERE batch_id = :batch_id RETURNING id;

-- insert_job_item
-- No row comes back where there is no such job. Files of the original may have been written without foreign keys.
INSERT INTO batch_items (batch_id, idea_id, status, result, error, processing_time, attempts, created_at)
SELECT :batch_id, :idea_id, :status, :result, :error, :processing_time, :attempts, :now
WHERE EXISTS (SELECT 1 FROM batch_jobs WHERE batch_id = :batch_id) RETURNING id;

-- read_job
SELECT id, batch_id, total_items, processed_items, success_count, failure_count, status, started_at, completed_at,
       config
FROM batch_jobs WHERE batch_id = :batch_id;

-- list_jobs
-- By id and not by time: a clock may be set back.
SELECT id, batch_id, total_items, processed_items, success_count, failure_count, status, started_at, completed_at,
       config
FROM batch_jobs WHERE :status IS NULL OR status = :status ORDER BY id DESC LIMIT :limit;

-- end_of_page
-- A page is so many items of the job, whether they have the status asked for or not: then no read takes long.
SELECT max(id) AS last
FROM (SELECT id FROM batch_items WHERE batch_id = :batch_id AND id > :after ORDER BY id LIMIT :rows);

-- page_of_items
SELECT id, batch_id, idea_id, status, result, error, processing_time, attempts, created_at
FROM batch_items
WHERE batch_id = :batch_id AND id > :after AND id <= :last AND (:status IS NULL OR status = :status)
ORDER BY id;

-- delete_job_items
-- Not left to the cascade: a file of the original may hold items whose job is gone.
DELETE FROM batch_items WHERE batch_id = :batch_id;

-- delete_job
DELETE FROM batch_jobs WHERE batch_id = :batch_id;
