-- make_ids
-- In a file of its own, not in the batch's.
CREATE TABLE ids (item_id);

-- insert_id
-- Item by item of a page.
INSERT INTO ids VALUES (?);

-- count_repeated_ids
-- Grouped and not DISTINCT: that would make an index, this sorts in a file.
SELECT coalesce(sum(n - 1), 0) FROM (SELECT count(*) AS n FROM ids GROUP BY item_id);
