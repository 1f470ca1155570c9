"""Recipe of the job `parity`: check that batch scoring and `/predict` agree to the last bit."""

from __future__ import annotations

from streamflow.monitoring import parity as comparison
from streamflow.postgres.engine import transaction
from streamflow.postgres.job_results import ParityResult
from streamflow.registry.served import served_release
from streamflow.repo import definitions
from streamflow.scoring import run
from streamflow.settings import Settings
from streamflow.snapshots import views


def parity(settings: Settings) -> ParityResult:
    """Score a random sample of entities both ways, and compare the probabilities.

    Raises:
        NotFound: Nothing was materialized, or no version is in production (`NotYet`: none ever was).
        DependencyDown: PostgreSQL, MLflow or predict does not answer.
    """
    repo = definitions.load(settings.feast.repo)
    release = served_release(settings.database, settings.mlflow.registered_model)
    with transaction(settings.database) as connection:
        as_of, known_at = comparison.materialized(connection, release.contract)
        entities = comparison.sample(connection, release.contract, settings.parity.sample)
    with views.frozen(settings.database, repo, known_at) as schema:
        batch = run.probabilities(
            settings.database,
            release,
            run.World(repo, schema, as_of, known_at),
            entities,
            require_newest=settings.predict.require_newest_as_of,
        )
    url = settings.parity.url.rstrip("/") or settings.predict.url
    online = comparison.answers(url, settings.parity.secret, release.contract.join_key, entities)
    if settings.predict.age_clock == "wall":
        # Batch scoring measures age against the as-of, so it may rightly score what predict refuses as stale.
        entities = [entity for entity in entities if online[entity][0] is not None]
    return comparison.compare(release.pointer.version, entities, batch, online)
