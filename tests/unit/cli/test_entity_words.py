"""Commands name the entities as the feature repo does."""

from pathlib import Path
from types import SimpleNamespace

import pytest

from streamflow.cli import erasures
from streamflow.cli.entity import words
from streamflow.errors import UsageError
from streamflow.local.simulate import Simulation, simulate
from streamflow.settings import Settings

ROOT = Path(__file__).resolve().parents[3]
WIND = ROOT / "tests" / "other_repo"


def settings_of(repo, join_key):
    made = Settings()
    return made.model_copy(
        update={
            "feast": made.feast.model_copy(update={"repo": repo}),
            "predict": made.predict.model_copy(update={"join_key": join_key}),
        }
    )


@pytest.mark.parametrize(
    ("repo", "key", "said"),
    [
        (ROOT / "feature_repo", "user_id", "9,379 customers"),
        (WIND, "turbine_id", "9,379 wind turbines"),
        (Path("/nowhere"), "turbine_id", "9,379 turbines"),
    ],
)
def test_a_number_of_entities_has_the_words_of_the_repo_or_of_the_key(repo, key, said):
    assert words(settings_of(repo, key)).count(9379) == said


def test_an_erasure_names_what_was_erased(capsys):
    from streamflow.repo.words import Words

    done = SimpleNamespace(rows={}, runs={}, pinned=("r1",), mentions={"promotions": 2}, notes=(), left=())
    erasures._show(done, Words("wind turbine"))
    said = capsys.readouterr().out
    assert "There is no row of this wind turbine." in said
    assert "keep values of this wind turbine" in said
    assert "name this wind turbine in a text" in said


def test_a_simulation_that_is_impossible_is_refused_in_the_words_of_the_repo(tmp_path):
    with pytest.raises(UsageError) as refused:
        simulate(ROOT / "feature_repo", tmp_path, Simulation(users=0))
    assert refused.value.what.startswith("0 customers, ")
    assert refused.value.hint.startswith("Give at least 1 customer ")
