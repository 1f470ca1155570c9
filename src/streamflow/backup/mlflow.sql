-- What a model's registry has, read from the snapshot of MLflow's own database.

-- name: versions
-- MLflow's versions of a model, with the tag that pins their files. Earlier releases of MLflow have no workspaces.
SELECT v.version, coalesce(v.run_id, ''), coalesce(v.source, ''), v.current_stage = 'Deleted_Internal', coalesce(t.value, '')
FROM public.model_versions v
LEFT JOIN public.model_version_tags t ON t.name = v.name AND t.version = v.version AND t.key = :tag
  AND coalesce(to_jsonb(t) ->> 'workspace', 'default') = 'default'
WHERE v.name = :model AND coalesce(to_jsonb(v) ->> 'workspace', 'default') = 'default'
ORDER BY v.version;

-- name: runs
-- Which of these runs MLflow has.
SELECT run_uuid FROM public.runs WHERE run_uuid = ANY(CAST(:runs AS text[]));
