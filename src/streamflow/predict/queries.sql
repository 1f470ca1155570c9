-- Statements of the predict service, with asyncpg's parameters ($1, $2 …).

-- name: online_facts
-- Name, columns, their types, and the newest materialized as-of of each table in the online store.
SELECT c.relname, array_agg(a.attname::text), array_agg(format_type(a.atttypid, NULL)),
       (SELECT extract(epoch FROM m.newest_as_of)::float8
        FROM online.materializations m
        WHERE m.feature_view = c.relname AND m.newest_as_of IS NOT NULL
        ORDER BY m.materialization_id DESC LIMIT 1)
FROM pg_class c
JOIN pg_namespace n ON n.oid = c.relnamespace
JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
WHERE n.nspname = 'online' AND c.relkind = 'r'
GROUP BY c.relname;

-- name: log_predictions
-- Add rows to the prediction log; each parameter is an array with one column. Ages come as text, because unnest would
-- flatten an array of arrays.
INSERT INTO streamflow.predictions (answered_at, request_id, entity, model, version, alias, probability, prediction,
                                    feature_ages, loaded_at)
SELECT answered_at, request_id, entity, model, version, alias, probability, prediction, ages::float8[], loaded_at
FROM unnest($1::timestamptz[], $2::text[], $3::text[], $4::text[], $5::int[], $6::text[], $7::float8[], $8::bool[],
            $9::text[], $10::timestamptz[])
     AS row (answered_at, request_id, entity, model, version, alias, probability, prediction, ages, loaded_at);

-- name: forget_predictions
-- Delete the rows that are older than a number of days.
SELECT streamflow.keep_prediction_log($1);

-- name: current_releases
-- Alias, version and digest of each release that the ledger of promotions names for a model.
SELECT alias, version, coalesce(manifest_sha256, '')
FROM streamflow.current_releases
WHERE model = $1 AND version IS NOT NULL;

-- name: release_bytes
-- Size of the files of a release; no row if they are not stored.
SELECT bytes FROM streamflow.releases WHERE manifest_sha256 = $1;

-- name: release_pieces
-- The files of a release, piece by piece.
SELECT file, content FROM streamflow.release_pieces WHERE manifest_sha256 = $1 ORDER BY file, piece;
