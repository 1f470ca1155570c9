-- Statements about the schemas of views that are limited to one known-at; migration 0012 has the functions.

-- name: open_known
-- Create a schema of views, readable by this login alone.
SELECT streamflow.open_known(:known_at, CAST(:views AS jsonb));

-- name: close_known
-- Drop a schema that this login opened.
SELECT streamflow.close_known(:schema);
