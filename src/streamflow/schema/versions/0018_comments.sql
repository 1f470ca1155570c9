-- Every table, view and column has a comment, which psql shows with \d+. Those that follow from the feature repo get
-- theirs from its declarations, when `streamflow features apply` creates them. A partition has the comments of its table.

COMMENT ON TABLE streamflow.alembic_version IS 'Revision of these tables: the newest migration that ran.';
COMMENT ON COLUMN streamflow.alembic_version.version_num IS 'Number of the migration.';

COMMENT ON TABLE streamflow.drops IS 'Ledger of drops: one row per drop, append-only.';
COMMENT ON COLUMN streamflow.drops.drop_id IS 'Id of the drop: as-of, sequence and the start of its digest.';
COMMENT ON COLUMN streamflow.drops.as_of IS 'Date that the drop describes.';
COMMENT ON COLUMN streamflow.drops.sequence IS 'Number of the drop among those of its as-of.';
COMMENT ON COLUMN streamflow.drops.digest IS 'Digest of the content of its files.';
COMMENT ON COLUMN streamflow.drops.loaded_at IS 'Stamp of the load; all rows of the drop have it.';
COMMENT ON COLUMN streamflow.drops.loaded_by IS 'User or job that loaded the drop.';
COMMENT ON COLUMN streamflow.drops.origin IS 'Folder that the drop was read from.';
COMMENT ON COLUMN streamflow.drops.accepted IS 'Rows that were stored, over all tables.';
COMMENT ON COLUMN streamflow.drops.quarantined IS 'Rows that were rejected, over all tables.';
COMMENT ON COLUMN streamflow.drops.login IS 'Login that wrote the row, entered by the database.';

COMMENT ON TABLE streamflow.drop_files IS 'Files of each drop, append-only.';
COMMENT ON COLUMN streamflow.drop_files.drop_id IS 'Drop of the file.';
COMMENT ON COLUMN streamflow.drop_files.table_name IS 'Source table of the file.';
COMMENT ON COLUMN streamflow.drop_files.file IS 'Name of the file.';
COMMENT ON COLUMN streamflow.drop_files.sha256 IS 'SHA-256 of the file.';
COMMENT ON COLUMN streamflow.drop_files.bytes IS 'Size of the file in bytes.';
COMMENT ON COLUMN streamflow.drop_files.lines IS 'Records in the file, without its header.';
COMMENT ON COLUMN streamflow.drop_files.accepted IS 'Records that were stored.';
COMMENT ON COLUMN streamflow.drop_files.quarantined IS 'Records that were rejected.';

COMMENT ON TABLE streamflow.drop_chain IS 'Hash chain over the ledger of drops, append-only.';
COMMENT ON COLUMN streamflow.drop_chain.position IS 'Position in the chain, from 1.';
COMMENT ON COLUMN streamflow.drop_chain.drop_id IS 'Drop at this position.';
COMMENT ON COLUMN streamflow.drop_chain.previous_hash IS 'Hash of the position before.';
COMMENT ON COLUMN streamflow.drop_chain.hash IS 'Hash of the drop, its files and the previous hash.';

COMMENT ON TABLE streamflow.quarantine IS 'Rejected records, one row per problem.';
COMMENT ON COLUMN streamflow.quarantine.quarantine_id IS 'Number of the row.';
COMMENT ON COLUMN streamflow.quarantine.drop_id IS 'Drop of the record.';
COMMENT ON COLUMN streamflow.quarantine.table_name IS 'Source table that the record was meant for.';
COMMENT ON COLUMN streamflow.quarantine.file IS 'Name of the file.';
COMMENT ON COLUMN streamflow.quarantine.line IS 'Line of the record in the file.';
COMMENT ON COLUMN streamflow.quarantine.column_name IS
    'Column with the problem; null if it concerns the whole record.';
COMMENT ON COLUMN streamflow.quarantine.reason IS 'Check that the record failed.';
COMMENT ON COLUMN streamflow.quarantine.value IS 'Value that failed the check.';
COMMENT ON COLUMN streamflow.quarantine.raw IS 'The record as it stands in the file.';

COMMENT ON TABLE online.materializations IS
    'Materializations, one row per feature view; predict reads the newest as-of of each view here.';
COMMENT ON COLUMN online.materializations.materialization_id IS
    'Number of the materialization; rows of online tables carry it.';
COMMENT ON COLUMN online.materializations.feature_view IS 'Feature view that was written.';
COMMENT ON COLUMN online.materializations.window_start IS 'Start of the window of as-of dates.';
COMMENT ON COLUMN online.materializations.window_end IS 'End of the window of as-of dates.';
COMMENT ON COLUMN online.materializations.newest_as_of IS 'Newest as-of in the online table afterwards.';
COMMENT ON COLUMN online.materializations.rows IS 'Entities written from the window.';
COMMENT ON COLUMN online.materializations.materialized_at IS 'Known-at of the read: rows loaded later were left out.';
COMMENT ON COLUMN online.materializations.visible_at IS
    'Time from which readers see these rows, by the server''s clock.';

COMMENT ON TABLE streamflow.promotions IS
    'Audit trail of promotions, append-only: which version each alias stands for, and why.';
COMMENT ON COLUMN streamflow.promotions.promotion_id IS 'Position in the trail, without gaps.';
COMMENT ON COLUMN streamflow.promotions.moved_at IS 'Time of the move, by whoever moved.';
COMMENT ON COLUMN streamflow.promotions.moved_by IS 'Person or job that moved the alias.';
COMMENT ON COLUMN streamflow.promotions.model IS 'Registered model in MLflow.';
COMMENT ON COLUMN streamflow.promotions.alias IS 'Alias that moved.';
COMMENT ON COLUMN streamflow.promotions.from_version IS 'Version before; null for none.';
COMMENT ON COLUMN streamflow.promotions.to_version IS 'Version afterwards; null for none.';
COMMENT ON COLUMN streamflow.promotions.action IS 'What was done, such as promote or rollback.';
COMMENT ON COLUMN streamflow.promotions.why IS 'Reason given.';
COMMENT ON COLUMN streamflow.promotions.facts IS 'Further facts about the move.';
COMMENT ON COLUMN streamflow.promotions.login IS 'Login that wrote the row, entered by the database.';
COMMENT ON COLUMN streamflow.promotions.recorded_at IS 'Time of the row, entered by the database.';
COMMENT ON COLUMN streamflow.promotions.intent_id IS 'Intent that the row completes; null for a row without one.';
COMMENT ON COLUMN streamflow.promotions.release IS 'Release that the alias stands for: run, manifest and versions.';
COMMENT ON COLUMN streamflow.promotions.gate IS 'Verdict of the gate with its figures.';
COMMENT ON COLUMN streamflow.promotions.previous_hash IS 'Hash of the row before.';
COMMENT ON COLUMN streamflow.promotions.hash IS 'Hash of the row and the previous hash.';

COMMENT ON TABLE streamflow.promotion_intents IS
    'What is about to be done; an intent that no promotion names was cut short.';
COMMENT ON COLUMN streamflow.promotion_intents.intent_id IS 'Number of the intent.';
COMMENT ON COLUMN streamflow.promotion_intents.begun_at IS 'Time of the intent.';
COMMENT ON COLUMN streamflow.promotion_intents.begun_by IS 'Person or job that began it.';
COMMENT ON COLUMN streamflow.promotion_intents.model IS 'Registered model in MLflow.';
COMMENT ON COLUMN streamflow.promotion_intents.alias IS 'Alias to move.';
COMMENT ON COLUMN streamflow.promotion_intents.from_version IS 'Version before.';
COMMENT ON COLUMN streamflow.promotion_intents.to_version IS 'Version afterwards.';
COMMENT ON COLUMN streamflow.promotion_intents.action IS 'What is to be done.';
COMMENT ON COLUMN streamflow.promotion_intents.why IS 'Reason given.';
COMMENT ON COLUMN streamflow.promotion_intents.facts IS 'Further facts about the move.';
COMMENT ON COLUMN streamflow.promotion_intents.release IS 'Release that the alias is to stand for.';
COMMENT ON COLUMN streamflow.promotion_intents.gate IS 'Verdict of the gate with its figures.';

COMMENT ON TABLE streamflow.promotion_requests IS
    'Promotions asked for over the registrar''s API, and their answers.';
COMMENT ON COLUMN streamflow.promotion_requests.id IS 'Id of the request.';
COMMENT ON COLUMN streamflow.promotion_requests.model IS 'Registered model in MLflow.';
COMMENT ON COLUMN streamflow.promotion_requests.alias IS 'Alias to move.';
COMMENT ON COLUMN streamflow.promotion_requests.version IS 'Version to promote.';
COMMENT ON COLUMN streamflow.promotion_requests.why IS 'Reason given.';
COMMENT ON COLUMN streamflow.promotion_requests.asked_by IS 'Name of the API key that asked.';
COMMENT ON COLUMN streamflow.promotion_requests.idempotency_key IS 'Key by which a repeated request is recognized.';
COMMENT ON COLUMN streamflow.promotion_requests.asked_at IS 'Time of the row, entered by the database.';
COMMENT ON COLUMN streamflow.promotion_requests.login IS 'Login that wrote the row, entered by the database.';
COMMENT ON COLUMN streamflow.promotion_requests.answered_at IS 'Time of the answer; null while the request is open.';
COMMENT ON COLUMN streamflow.promotion_requests.promotion_id IS 'Row of promotions that answers the request.';
COMMENT ON COLUMN streamflow.promotion_requests.refused IS 'Why the request was refused; null if it was not.';

COMMENT ON TABLE streamflow.signed_heads IS 'Heads of the audit trail that the registrar signed.';
COMMENT ON COLUMN streamflow.signed_heads.head_id IS 'Number of the signature.';
COMMENT ON COLUMN streamflow.signed_heads.promotion_id IS 'Newest promotion at the time.';
COMMENT ON COLUMN streamflow.signed_heads.hash IS 'Hash of that promotion.';
COMMENT ON COLUMN streamflow.signed_heads.signed_at IS 'Time of the signature.';
COMMENT ON COLUMN streamflow.signed_heads.public_key IS 'Public key (Ed25519) that verifies the signature.';
COMMENT ON COLUMN streamflow.signed_heads.signature IS 'Signature over position, hash and time.';
COMMENT ON COLUMN streamflow.signed_heads.login IS 'Login that wrote the row, entered by the database.';

COMMENT ON TABLE streamflow.trained_models IS 'Models that were trained here; no others are promoted.';
COMMENT ON COLUMN streamflow.trained_models.model IS 'Registered model in MLflow.';
COMMENT ON COLUMN streamflow.trained_models.manifest_sha256 IS
    'SHA-256 of the release''s manifest, which pins every file of the release.';
COMMENT ON COLUMN streamflow.trained_models.run_id IS 'MLflow run that trained the model.';
COMMENT ON COLUMN streamflow.trained_models.split_digest IS 'Digest of the split into training and test rows.';
COMMENT ON COLUMN streamflow.trained_models.trained_at IS 'Time of the row, entered by the database.';
COMMENT ON COLUMN streamflow.trained_models.login IS 'Login that wrote the row, entered by the database.';

COMMENT ON TABLE streamflow.releases IS 'Releases whose files are stored completely.';
COMMENT ON COLUMN streamflow.releases.manifest_sha256 IS
    'SHA-256 of the release''s manifest, which pins every file of the release.';
COMMENT ON COLUMN streamflow.releases.bytes IS 'Size of all files in bytes.';
COMMENT ON COLUMN streamflow.releases.stored_at IS 'Time of the row, entered by the database.';

COMMENT ON TABLE streamflow.release_pieces IS 'Files of releases, in pieces.';
COMMENT ON COLUMN streamflow.release_pieces.manifest_sha256 IS
    'SHA-256 of the release''s manifest, which pins every file of the release.';
COMMENT ON COLUMN streamflow.release_pieces.file IS 'Name of the file.';
COMMENT ON COLUMN streamflow.release_pieces.piece IS 'Number of the piece in its file, from 0.';
COMMENT ON COLUMN streamflow.release_pieces.content IS 'Bytes of the piece.';

COMMENT ON VIEW streamflow.current_releases IS 'Which release each alias stands for; predict reads it.';
COMMENT ON COLUMN streamflow.current_releases.model IS 'Registered model in MLflow.';
COMMENT ON COLUMN streamflow.current_releases.alias IS 'Alias.';
COMMENT ON COLUMN streamflow.current_releases.version IS 'Version that the alias stands for; null for none.';
COMMENT ON COLUMN streamflow.current_releases.promotion_id IS 'Promotion that says so.';
COMMENT ON COLUMN streamflow.current_releases.since IS 'Time of that promotion.';
COMMENT ON COLUMN streamflow.current_releases.manifest_sha256 IS
    'SHA-256 of the release''s manifest, which pins every file of the release.';

COMMENT ON TABLE streamflow.mlflow_in_line IS 'Promotions that MLflow was brought in line with.';
COMMENT ON COLUMN streamflow.mlflow_in_line.model IS 'Registered model in MLflow.';
COMMENT ON COLUMN streamflow.mlflow_in_line.promotion_id IS 'Newest promotion at the time.';
COMMENT ON COLUMN streamflow.mlflow_in_line.since IS 'Time of the row, entered by the database.';

COMMENT ON TABLE streamflow.release_checks IS
    'Checks of releases in a process of their own; one without an outcome took its process down.';
COMMENT ON COLUMN streamflow.release_checks.check_id IS 'Number of the row.';
COMMENT ON COLUMN streamflow.release_checks.model IS 'Registered model in MLflow.';
COMMENT ON COLUMN streamflow.release_checks.manifest_sha256 IS
    'SHA-256 of the release''s manifest, which pins every file of the release.';
COMMENT ON COLUMN streamflow.release_checks.outcome IS 'begun, passed, refused or cut short.';
COMMENT ON COLUMN streamflow.release_checks.why IS 'Why the release was refused.';
COMMENT ON COLUMN streamflow.release_checks.recorded_at IS 'Time of the row, entered by the database.';
COMMENT ON COLUMN streamflow.release_checks.login IS 'Login that wrote the row, entered by the database.';

COMMENT ON TABLE streamflow.scorings IS 'Batch predictions: one row per model version and as-of.';
COMMENT ON COLUMN streamflow.scorings.scoring_id IS 'Number of the scoring.';
COMMENT ON COLUMN streamflow.scorings.model IS 'Registered model in MLflow.';
COMMENT ON COLUMN streamflow.scorings.version IS 'Version that scored.';
COMMENT ON COLUMN streamflow.scorings.fingerprint IS 'Fingerprint of the version''s training set.';
COMMENT ON COLUMN streamflow.scorings.as_of IS 'As-of of the features.';
COMMENT ON COLUMN streamflow.scorings.known_at IS 'Load time up to which rows were read.';
COMMENT ON COLUMN streamflow.scorings.scored_at IS 'Time of the scoring.';
COMMENT ON COLUMN streamflow.scorings.removed_at IS
    'Time at which retention removed the scores; null while they are here.';

COMMENT ON TABLE streamflow.scoring_refusals IS 'Entities that got no score, by reason.';
COMMENT ON COLUMN streamflow.scoring_refusals.scoring_id IS 'Scoring.';
COMMENT ON COLUMN streamflow.scoring_refusals.reason IS 'Why there is no score.';
COMMENT ON COLUMN streamflow.scoring_refusals.entities IS 'Number of entities.';

COMMENT ON TABLE streamflow.scores IS 'Scores of all entities of a scoring.';
COMMENT ON COLUMN streamflow.scores.scoring_id IS 'Scoring.';
COMMENT ON COLUMN streamflow.scores.entity IS 'Key of the entity.';
COMMENT ON COLUMN streamflow.scores.probability IS 'Predicted probability of the label.';
COMMENT ON COLUMN streamflow.scores.prediction IS 'Whether the probability reaches the threshold of the version.';

COMMENT ON TABLE streamflow.predictions IS 'Sample of the answers that predict gave, in one partition per day.';
COMMENT ON COLUMN streamflow.predictions.answered_at IS 'Time of the answer.';
COMMENT ON COLUMN streamflow.predictions.request_id IS 'Id of the request.';
COMMENT ON COLUMN streamflow.predictions.entity IS 'Key of the entity.';
COMMENT ON COLUMN streamflow.predictions.model IS 'Registered model in MLflow.';
COMMENT ON COLUMN streamflow.predictions.version IS 'Version that answered.';
COMMENT ON COLUMN streamflow.predictions.alias IS 'Alias of that version: production or canary.';
COMMENT ON COLUMN streamflow.predictions.probability IS 'Predicted probability of the label.';
COMMENT ON COLUMN streamflow.predictions.prediction IS
    'Whether the probability reaches the threshold of the version.';
COMMENT ON COLUMN streamflow.predictions.feature_ages IS
    'Age of each view''s values in seconds, in the order of the model''s views.';
COMMENT ON COLUMN streamflow.predictions.loaded_at IS 'Newest load time among the values.';

COMMENT ON TABLE streamflow.job_starts IS 'Starts of jobs; one without a run was killed.';
COMMENT ON COLUMN streamflow.job_starts.start_id IS 'Number of the start.';
COMMENT ON COLUMN streamflow.job_starts.job IS 'Name of the job.';
COMMENT ON COLUMN streamflow.job_starts.started_at IS 'Time of the row, entered by the database.';
COMMENT ON COLUMN streamflow.job_starts.login IS 'Login that wrote the row, entered by the database.';

COMMENT ON TABLE streamflow.job_runs IS 'Outcomes of jobs, append-only.';
COMMENT ON COLUMN streamflow.job_runs.run_id IS 'Number of the run.';
COMMENT ON COLUMN streamflow.job_runs.job IS 'Name of the job.';
COMMENT ON COLUMN streamflow.job_runs.started_at IS 'Start of the run.';
COMMENT ON COLUMN streamflow.job_runs.ended_at IS 'Stamp of its end.';
COMMENT ON COLUMN streamflow.job_runs.outcome IS 'done, refused or failed.';
COMMENT ON COLUMN streamflow.job_runs.message IS 'What was done, or why not.';
COMMENT ON COLUMN streamflow.job_runs.facts IS 'Results of the run.';
COMMENT ON COLUMN streamflow.job_runs.login IS 'Login that wrote the row, entered by the database.';
COMMENT ON COLUMN streamflow.job_runs.start_id IS 'Start that the run ends; null if none was recorded.';

COMMENT ON TABLE streamflow.job_runs_forgotten IS
    'Number of runs that retention removed, so that counters never fall.';
COMMENT ON COLUMN streamflow.job_runs_forgotten.job IS 'Name of the job.';
COMMENT ON COLUMN streamflow.job_runs_forgotten.outcome IS 'Outcome of the runs.';
COMMENT ON COLUMN streamflow.job_runs_forgotten.runs IS 'Number of runs.';

COMMENT ON TABLE streamflow.job_logins IS 'Which login may record runs of which job.';
COMMENT ON COLUMN streamflow.job_logins.login IS 'Login, or group of logins.';
COMMENT ON COLUMN streamflow.job_logins.job IS 'Name of the job.';

COMMENT ON TABLE streamflow.least_kept IS 'Shortest time that evidence is kept, whatever a job asks for.';
COMMENT ON COLUMN streamflow.least_kept.what IS 'Kind of evidence.';
COMMENT ON COLUMN streamflow.least_kept.least IS 'Days.';

COMMENT ON TABLE streamflow.accepted_stamps IS 'Stamps that somebody vouched for because the clocks did not.';
COMMENT ON COLUMN streamflow.accepted_stamps.accepted IS 'Latest stamp that is accepted.';
COMMENT ON COLUMN streamflow.accepted_stamps.recorded_at IS 'Time of the row, entered by the database.';
COMMENT ON COLUMN streamflow.accepted_stamps.login IS 'Login that wrote the row, entered by the database.';
COMMENT ON COLUMN streamflow.accepted_stamps.why IS 'Reason given.';

COMMENT ON TABLE streamflow.given_stamps IS 'Stamps given in transactions that have not ended.';
COMMENT ON COLUMN streamflow.given_stamps.stamp IS 'The stamp.';
COMMENT ON COLUMN streamflow.given_stamps.transaction IS 'Transaction that got it.';
COMMENT ON COLUMN streamflow.given_stamps.loading IS 'Whether nobody could take a known-at since.';

COMMENT ON TABLE streamflow.known_schemas IS 'Schemas of views that runs read: the source tables as known at a time.';
COMMENT ON COLUMN streamflow.known_schemas.name IS 'Name of the schema.';
COMMENT ON COLUMN streamflow.known_schemas.login IS 'Login that may read it.';
COMMENT ON COLUMN streamflow.known_schemas.known_at IS 'Load time up to which rows are visible.';
COMMENT ON COLUMN streamflow.known_schemas.opened_at IS 'Time at which the schema was created.';

COMMENT ON TABLE streamflow.row_locks IS 'Rows that functions lock to run one at a time.';
COMMENT ON COLUMN streamflow.row_locks.name IS 'Name of the lock.';

COMMENT ON TABLE streamflow.erasures IS 'Erasures of persons and their withdrawals, by keyed hash.';
COMMENT ON COLUMN streamflow.erasures.erasure_id IS 'Id of the act.';
COMMENT ON COLUMN streamflow.erasures.action IS 'erase or withdraw.';
COMMENT ON COLUMN streamflow.erasures.entity_hash IS 'Keyed hash of the entity''s key.';
COMMENT ON COLUMN streamflow.erasures.key_id IS 'Name of the key of the hash.';
COMMENT ON COLUMN streamflow.erasures.why IS 'Reason given.';
COMMENT ON COLUMN streamflow.erasures.request IS 'Reference of the person''s request.';
COMMENT ON COLUMN streamflow.erasures.asked_by IS 'Person who asked for it.';
COMMENT ON COLUMN streamflow.erasures.login IS 'Login that wrote the row, entered by the database.';
COMMENT ON COLUMN streamflow.erasures.recorded_at IS 'Time of the row, entered by the database.';

COMMENT ON TABLE streamflow.erasure_steps IS 'What each erasure did; one without the step ''done'' is not complete.';
COMMENT ON COLUMN streamflow.erasure_steps.step_id IS 'Number of the step.';
COMMENT ON COLUMN streamflow.erasure_steps.erasure_id IS 'Erasure.';
COMMENT ON COLUMN streamflow.erasure_steps.step IS 'rows, artifacts, restored or done.';
COMMENT ON COLUMN streamflow.erasure_steps.counts IS 'Rows removed, by place.';
COMMENT ON COLUMN streamflow.erasure_steps.login IS 'Login that wrote the row, entered by the database.';
COMMENT ON COLUMN streamflow.erasure_steps.recorded_at IS 'Time of the row, entered by the database.';

COMMENT ON TABLE streamflow.erased_runs IS 'What the training sets of runs are without the erased rows.';
COMMENT ON COLUMN streamflow.erased_runs.number IS 'Number of the row.';
COMMENT ON COLUMN streamflow.erased_runs.erasure_id IS 'Erasure.';
COMMENT ON COLUMN streamflow.erased_runs.run_id IS 'MLflow run.';
COMMENT ON COLUMN streamflow.erased_runs.rows IS 'Rows that were removed.';
COMMENT ON COLUMN streamflow.erased_runs.fingerprint IS 'Fingerprint of the remaining rows.';
COMMENT ON COLUMN streamflow.erased_runs.split_digest IS 'Digest of the split of the remaining rows.';
COMMENT ON COLUMN streamflow.erased_runs.pinned IS 'Whether a promoted version comes from the run.';
COMMENT ON COLUMN streamflow.erased_runs.login IS 'Login that wrote the row, entered by the database.';
COMMENT ON COLUMN streamflow.erased_runs.recorded_at IS 'Time of the row, entered by the database.';

COMMENT ON VIEW streamflow.erased IS 'Entities that are erased now.';
COMMENT ON COLUMN streamflow.erased.entity_hash IS 'Keyed hash of the entity''s key.';
COMMENT ON COLUMN streamflow.erased.key_id IS 'Name of the key of the hash.';
COMMENT ON COLUMN streamflow.erased.erasure_id IS 'Newest erasure of the entity.';
COMMENT ON COLUMN streamflow.erased.erased_at IS 'Time of that erasure.';

COMMENT ON TABLE streamflow.forgotten_months IS 'Old months that retention dropped.';
COMMENT ON COLUMN streamflow.forgotten_months.id IS 'Number of the row.';
COMMENT ON COLUMN streamflow.forgotten_months.before IS 'Rows of an earlier as-of are gone.';
COMMENT ON COLUMN streamflow.forgotten_months.months IS 'Months that were kept.';
COMMENT ON COLUMN streamflow.forgotten_months.counts IS 'Rows removed, by table.';
COMMENT ON COLUMN streamflow.forgotten_months.login IS 'Login that wrote the row, entered by the database.';
COMMENT ON COLUMN streamflow.forgotten_months.recorded_at IS 'Time of the row, entered by the database.';

COMMENT ON SEQUENCE streamflow.newest_stamp IS 'Newest stamp of the clock, in microseconds since 1970.';
COMMENT ON SCHEMA streamflow IS 'Ledgers of drops, promotions, scores and jobs.';
COMMENT ON SCHEMA source IS 'Source tables: append-only rows of drops, with as-of and load time.';
COMMENT ON SCHEMA features IS 'Snapshot views of the source tables, which Feast reads.';
COMMENT ON SCHEMA online IS 'Online tables: the newest features of each entity.';
