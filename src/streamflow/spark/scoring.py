"""Score every entity of the lake: tasks turn batches of rows into scores, and the driver copies these into PostgreSQL.

A task scores with the function that `streamflow score` uses, and returns a row for each batch: its scores, packed, and
what it counted. These come to the driver as `streamflow.spark.returned` has it, so a task that is repeated writes nothing
twice.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import pyarrow as pa
from pyspark.sql import DataFrame, SparkSession, Window
from pyspark.sql import functions as f

from streamflow import release as releases_checked
from streamflow.model_version.contract import Contract
from streamflow.postgres.engine import transaction
from streamflow.postgres.job_results import ScoreResult
from streamflow.registry import releases
from streamflow.release import Release, VersionPointer
from streamflow.repo.definitions import FeatureRepo
from streamflow.scoring import read, run
from streamflow.scoring import score as scoring
from streamflow.settings import DatabaseSettings, LakeSettings, SparkSettings
from streamflow.spark import failures, returned, session, snapshots

_PACKED = "scores binary, refused string, features string"
_SCORES = pa.schema([("entity", pa.string()), ("probability", pa.float64()), ("prediction", pa.bool_())])
_loaded: dict[VersionPointer, Release] = {}


@dataclass(frozen=True)
class _Task:
    """What a task scores with.

    Attributes:
        pointer: Model version that scores.
        files: Broadcast of the version's files.
        rules: Which values are stale.
    """

    pointer: VersionPointer
    files: Any
    rules: scoring.Rules

    def __call__(self, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """Score batches of rows with the columns of `read.types`."""
        found = _release(self.pointer, self.files.value)
        model, types = run.model_of(found), pa.schema(list(read.types(found.contract).items()))
        for batch in batches:
            rows = pa.Table.from_batches([batch]).cast(types)
            yield _packed(scoring.score_chunk(model, self.rules, read.chunk(found.contract, rows)))


def score(
    database: DatabaseSettings,
    lake: LakeSettings,
    spark: SparkSettings,
    release: Release,
    world: run.World,
    limits: run.Limits,
    began: float,
) -> ScoreResult:
    """Start Spark and score every entity of the lake, as `score_every_entity` does.

    Args:
        database: PostgreSQL, which has the ledger and the scores.
        lake: Where the rows are.
        spark: How to start Spark.
        release: Model version that scores.
        world: What to score; its schema is not used.
        limits: Settings of the scoring.
        began: Start of the job by `time.monotonic`.

    Raises:
        UsageError: There is no Java runtime.
        Refused: The version needs features that the feature repo no longer has.
        DependencyDown: PostgreSQL, Spark or the lake does not answer, or a task failed again and again.
    """
    started = session.started(spark)
    with snapshots.frozen(started, database, lake.url, world.repo.tables, world.known_at) as own:
        return score_every_entity(own, database, release, world, limits, began)


def score_every_entity(
    spark: SparkSession,
    database: DatabaseSettings,
    release: Release,
    world: run.World,
    limits: run.Limits,
    began: float,
) -> ScoreResult:
    """Store the scores that `streamflow.scoring.run.score_every_entity` would store from the same rows.

    Args:
        spark: Session whose temporary views are the snapshots, as known at `world.known_at`.
        database: Connection settings; only this process connects.
        release: Model version that scores.
        world: What to score; its schema is not used.
        limits: Settings of the scoring.
        began: Start of the job by `time.monotonic`; the result reports the seconds since then.

    Raises:
        Refused: The version needs features that the feature repo no longer has.
        DependencyDown: A task of Spark failed again and again, or PostgreSQL does not answer; nothing is stored.
    """
    contract = release.contract
    read.check_fits(world.repo, contract)
    with failures.named("score, so no score was stored"):
        tally, number = _stored(spark, database, release, world, limits)
    with transaction(database) as connection:
        scoring.forget(connection, contract.model, limits.keep)
    return run.finished(tally, number, release, world, began)


def _stored(
    spark: SparkSession, database: DatabaseSettings, release: Release, world: run.World, limits: run.Limits
) -> tuple[scoring.Tally, int]:
    contract = release.contract
    newest = newest_as_of(spark, world.repo, contract, world.as_of)
    rules = scoring.Rules(newest, limits.require_newest, threads=1)
    with transaction(database) as connection:
        files = spark.sparkContext.broadcast(dict(releases.read(connection, release.pointer)))
    rows = entities(spark, world.repo, contract, world.as_of)
    packed = rows.mapInArrow(_Task(release.pointer, files, rules), _PACKED)
    try:
        with returned.rows(packed) as batches, transaction(database) as target:
            number = scoring.begin(target, run.model_of(release), world.as_of, world.known_at)
            tally = scoring.write(target, number, map(_unpacked, batches))
            scoring.record_refusals(target, number, tally)
    finally:
        files.destroy()
    return tally, number


def newest_as_of(
    spark: SparkSession, repo: FeatureRepo, contract: Contract, as_of: datetime
) -> tuple[float, ...]:
    """Each view's newest as-of up to `as_of`, in seconds since 1970; NaN for an empty view."""
    found = []
    for view in contract.views:
        source: Any = repo.view(view.name).batch_source
        known = _until(spark.table(source.name), source.timestamp_field, as_of)
        newest = known.agg(_seconds(f.max(source.timestamp_field))).first()
        found.append(float("nan") if newest is None or newest[0] is None else float(newest[0]))
    return tuple(found)


def entities(spark: SparkSession, repo: FeatureRepo, contract: Contract, as_of: datetime) -> DataFrame:
    """Every entity known by `as_of`, with its features and its row's as-of in each view; columns as in `read.types`."""
    known = _until(spark.table(repo.entity_table.snapshots), "as_of", as_of)
    rows = known.select(f.col(repo.join_key).alias(read.KEY)).distinct()
    for i in range(len(contract.views)):
        rows = rows.join(_view(spark, repo, contract, i, as_of), read.KEY, "left")
    return rows.select(f.col(read.KEY).cast("string"), *list(read.types(contract))[1:])


def _view(
    spark: SparkSession, repo: FeatureRepo, contract: Contract, index: int, as_of: datetime
) -> DataFrame:
    name = contract.views[index].name
    source: Any = repo.view(name).batch_source
    columns: Mapping[str, str] = {feature: column for column, feature in (source.field_mapping or {}).items()}
    stamp, key = source.timestamp_field, repo.join_key
    order = [f.col(by).desc() for by in (stamp, source.created_timestamp_column)]
    rank = f.row_number().over(Window.partitionBy(key).orderBy(*order))
    newest = _until(spark.table(source.name), stamp, as_of).withColumn("rank", rank).where("rank = 1")
    features = [
        f.col(columns.get(feature.name, feature.name)).alias(f"f{i}")
        for i, feature in enumerate(contract.features)
        if feature.view == name
    ]
    return newest.select(f.col(key).alias(read.KEY), _seconds(f.col(stamp)).alias(f"s{index}"), *features)


def _until(rows: DataFrame, stamp: str, as_of: datetime) -> DataFrame:
    return rows.where(f.col(stamp) <= f.lit(as_of))


def _seconds(stamp: Any) -> Any:
    # As PostgreSQL's extract(epoch): the double that is nearest to the microseconds.
    return f.unix_micros(stamp.cast("timestamp")) / f.lit(1e6)


def _release(pointer: VersionPointer, files: Mapping[str, bytes]) -> Release:
    """The version, checked and loaded once in each process of an executor."""
    if pointer not in _loaded:
        _loaded.clear()
        _loaded[pointer] = releases_checked.check(pointer, files)
    return _loaded[pointer]


def _packed(scores: scoring.Scores) -> pa.RecordBatch:
    """A row of the scores of one batch. Pure."""
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, _SCORES) as stream:
        stream.write_table(pa.table([scores.keys, scores.probabilities, scores.predictions], _SCORES))
    return pa.record_batch(
        {
            "scores": pa.array([sink.getvalue().to_pybytes()], pa.binary()),
            "refused": [json.dumps(scores.refused)],
            "features": [json.dumps(scores.features)],
        }
    )


def _unpacked(row: Any) -> scoring.Scores:
    """The scores of a row that `_packed` made. Pure."""
    table = pa.ipc.open_stream(bytes(row.scores)).read_all().combine_chunks()
    keys, probabilities, predictions = (table.column(name) for name in _SCORES.names)
    return scoring.Scores(
        keys.combine_chunks(),
        probabilities.to_numpy(),
        predictions.to_numpy(),
        json.loads(row.refused),
        json.loads(row.features),
    )
