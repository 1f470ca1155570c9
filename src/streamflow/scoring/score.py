"""Turn chunks of features into probabilities and write them to `streamflow.scorings` and `streamflow.scores`.

Reading, inference and writing overlap: while threads infer, PostgreSQL reads the next chunk and writes the
previous one. Only a few chunks are in memory at a time, so memory use does not grow with the number of
entities.
"""

from __future__ import annotations

import io
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import sqlalchemy as sa
from pyarrow import csv

from streamflow import eligibility
from streamflow.eligibility import Columns, Policy
from streamflow.encoding import Encoder
from streamflow.model_version.contract import Contract
from streamflow.postgres import statements
from streamflow.postgres.names import PLATFORM
from streamflow.scoring.read import Chunk

_SQL = statements.load(Path(__file__).with_name("queries.sql"))

Infer = Callable[[npt.NDArray[np.float32]], npt.NDArray[np.float64]]


UNKNOWN_CATEGORY, NOT_FINITE = "unknown_category", "not_finite"
"""Reasons for a refusal that only the encoder and the model detect, after the rules of `eligibility`."""


@dataclass(frozen=True)
class Model:
    """The parts of a release that scoring needs.

    Attributes:
        version: Number of the model version.
        contract: Its contract.
        encoder: Turns feature values into the model's input matrix.
        infer: Turns a matrix of shape (n, width) into n probabilities; called by several threads at once.
    """

    version: int
    contract: Contract
    encoder: Encoder
    infer: Infer


@dataclass(frozen=True)
class Rules:
    """Which values are stale, and how many chunks are inferred at a time.

    Attributes:
        newest: Newest as-of of each view of the contract, in seconds since 1970.
        require_newest: Whether to refuse values older than the newest as-of of their view.
        threads: Number of chunks to infer concurrently.
    """

    newest: tuple[float, ...]
    require_newest: bool
    threads: int


@dataclass
class Tally:
    """Counts of a scoring.

    Attributes:
        scored: Number of entities with a probability.
        positive: Number of them whose probability reaches the threshold.
        refused: Number of entities without a probability, by reason.
        features: Number of refused entities that lack a feature, by feature.
    """

    scored: int = 0
    positive: int = 0
    refused: Counter[str] = field(default_factory=Counter)
    features: Counter[str] = field(default_factory=Counter)

    def add(
        self, scored: int, positive: int, refused: Mapping[str, int], features: Mapping[str, int]
    ) -> None:
        """Add the counts of other entities."""
        self.scored += scored
        self.positive += positive
        self.refused.update(refused)
        self.features.update(features)


@dataclass(frozen=True)
class Scoring:
    """A row of `streamflow.scorings`: which version scored which data.

    Attributes:
        scoring_id: Id of the scoring.
        version: Number of the model version.
        fingerprint: Fingerprint of the version's training set.
        as_of: As-of date that was scored.
        known_at: Newest load time that was visible.
    """

    scoring_id: int
    version: int
    fingerprint: str
    as_of: datetime
    known_at: datetime


@dataclass(frozen=True)
class Scores:
    """Scores of one chunk.

    Attributes:
        keys: Keys of the entities that have a probability.
        probabilities: Their probabilities, in the order of `keys`.
        predictions: Whether each probability reaches the threshold.
        refused: Number of refused entities, by reason.
        features: Number of refused entities that lack a feature, by feature.
    """

    keys: pa.Array
    probabilities: npt.NDArray[np.float64]
    predictions: npt.NDArray[np.bool_]
    refused: dict[str, int]
    features: dict[str, int]


def score_chunk(model: Model, rules: Rules, chunk: Chunk) -> Scores:
    """Score the entities of a chunk that the rules allow, and count the others. Pure except for inference."""
    contract = model.contract
    columns = Columns(chunk.columns, chunk.absent, chunk.stamps)
    verdict = eligibility.Rules(contract.features, contract.views).judge(
        columns, rules.newest, Policy(rules.require_newest)
    )
    matrix, unknown = model.encoder.encode_columns([column[verdict.good] for column in chunk.columns])
    keys = chunk.keys.filter(pa.array(verdict.good))
    probabilities = np.full(len(keys), np.nan)
    if not unknown.all():
        probabilities[~unknown] = model.infer(matrix[~unknown])
    finite = np.isfinite(probabilities)
    refused = verdict.reasons
    for reason, count in ((UNKNOWN_CATEGORY, unknown.sum()), (NOT_FINITE, (~finite & ~unknown).sum())):
        if count:
            refused[reason] = int(count)
    probabilities = probabilities[finite]
    return Scores(
        keys.filter(pa.array(finite)),
        probabilities,
        probabilities >= contract.threshold,
        refused,
        verdict.features,
    )


def score_all(model: Model, rules: Rules, chunks: Iterable[Chunk]) -> Iterator[Scores]:
    """Score chunks concurrently; yield their scores in the order of the chunks."""
    with ThreadPoolExecutor(rules.threads, "score") as pool:
        waiting: deque[Future[Scores]] = deque()
        for chunk in chunks:
            waiting.append(pool.submit(score_chunk, model, rules, chunk))
            # Reads one chunk ahead of the threads and no further: a faster reader would fill the memory.
            if len(waiting) > rules.threads:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()


def begin(connection: sa.Connection, model: Model, as_of: datetime, known_at: datetime) -> int:
    """Record a scoring and return its id; the caller's transaction commits it together with its scores."""
    number: int = connection.execute(
        sa.text(_SQL["begin_scoring"]),
        {
            "model": model.contract.model,
            "version": model.version,
            "fingerprint": model.contract.fingerprint,
            "as_of": as_of,
            "known_at": known_at,
        },
    ).scalar_one()
    return number


def newest(connection: sa.Connection, model: str) -> Scoring | None:
    """The newest scoring of a model; None if it was never scored."""
    row = connection.execute(sa.text(_SQL["newest_scoring"]), {"model": model}).first()
    return Scoring(*row) if row else None


def is_current(held: Scoring | None, model: Model, as_of: datetime, loaded_at: datetime) -> bool:
    """Whether a new scoring would repeat the one in `held`: the same version on the same data. Pure.

    Args:
        held: Newest scoring of the model; None if it was never scored.
        model: Version that would score.
        as_of: As-of date that would be scored.
        loaded_at: Load time of the drop that was loaded last.
    """
    return (
        held is not None
        and (held.version, held.fingerprint) == (model.version, model.contract.fingerprint)
        and held.as_of == as_of
        and held.known_at >= loaded_at
    )


def forget(connection: sa.Connection, model: str, keep: int) -> None:
    """Delete the scores of all but the newest `keep` scorings of a model; the scorings stay on record."""
    connection.execute(sa.text(_SQL["forget_scores"]), {"model": model, "keep": keep})


def write(connection: sa.Connection, number: int, results: Iterable[Scores]) -> Tally:
    """Copy scores into `streamflow.scores` as they arrive, and count."""
    tally = Tally()
    cursor: Any = connection.connection.cursor()
    columns = "scoring_id, entity, probability, prediction"
    with cursor.copy(f"COPY {PLATFORM}.scores ({columns}) FROM STDIN (FORMAT csv)") as copy:
        for scores in results:
            positive = int(scores.predictions.sum())
            tally.add(len(scores.keys), positive, scores.refused, scores.features)
            if len(scores.keys):
                copy.write(_csv(number, scores))
    return tally


def record_refusals(connection: sa.Connection, number: int, tally: Tally) -> None:
    """Record how many entities a scoring refused, by reason."""
    refusals = [
        {"number": number, "reason": reason, "entities": entities}
        for reason, entities in sorted(tally.refused.items())
        if entities
    ]
    if refusals:
        connection.execute(sa.text(_SQL["add_refusals"]), refusals)


def _csv(number: int, scores: Scores) -> bytes:
    sink = io.BytesIO()
    table = pa.table(
        {
            "scoring_id": np.full(len(scores.keys), number),
            "entity": scores.keys,
            "probability": scores.probabilities,
            "prediction": scores.predictions,
        }
    )
    csv.write_csv(table, sink, csv.WriteOptions(include_header=False))
    return sink.getvalue()
