-- materialized_at is what a materialization knew: it is taken before the tables are built. When readers saw the new
-- tables is another moment, seconds later: visible_at is taken while the swap's locks are held, so a reader that read
-- before it had the old tables, and one that reads after it has the new ones.
ALTER TABLE online.materializations ADD COLUMN visible_at timestamptz;
UPDATE online.materializations SET visible_at = materialized_at;
ALTER TABLE online.materializations
    ALTER COLUMN visible_at SET DEFAULT clock_timestamp(),
    ALTER COLUMN visible_at SET NOT NULL;
