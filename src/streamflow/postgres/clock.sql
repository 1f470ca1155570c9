-- Statements on the clock of migration 0007, which says when a stamp is given and when it is refused.

-- name: read
-- What the clocks say, without giving a stamp.
SELECT server, newest, next, vouched, refused FROM streamflow.read_clock(:caller);

-- name: next_stamp
-- The next stamp; null if it is refused.
SELECT stamp FROM streamflow.next_stamp(:caller);

-- name: accept
-- Vouch for the next stamp. Only the owner of the table may.
INSERT INTO streamflow.accepted_stamps (accepted, why)
SELECT next, :why FROM streamflow.read_clock(NULL)
RETURNING accepted;

-- name: ahead
-- Drops that were loaded, by their stamp, later than the server's clock says it is now; the earliest first.
SELECT drop_id, loaded_at
FROM streamflow.drops
WHERE loaded_at > streamflow.server_clock()
ORDER BY loaded_at;
