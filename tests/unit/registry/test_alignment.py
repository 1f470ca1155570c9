"""What MLflow shows beyond the ledger is a request; what it lacks is written; and the two never mix."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamflow.model_version.aliases import ALL_ALIASES
from streamflow.model_version.asked import Asked
from streamflow.registry.alignment import ARCHIVED, SetAlias, SetStage, Shown, requests, stages_of, writes

VERSIONS = range(1, 5)


def targets(**found):
    return {**dict.fromkeys(ALL_ALIASES), **found}


def shown_of(ours, versions=VERSIONS):
    """MLflow in line with the ledger."""
    stages = dict.fromkeys(versions, "None") | stages_of(ours)
    return Shown({alias: at for alias, at in ours.items() if at is not None}, stages)


def changed(shown, aliases=None, stages=None):
    found = {**shown.aliases, **(aliases or {})}
    return Shown(
        {alias: at for alias, at in found.items() if at is not None}, {**shown.stages, **(stages or {})}
    )


def applied(shown, write):
    if isinstance(write, SetAlias):
        return changed(shown, aliases={write.alias: write.version})
    return changed(shown, stages={write.version: write.stage})


NOW = targets(production=1, staging=2)


def asked(shown, base=NOW, ours=NOW):
    return [(each.alias, each.version, each.by) for each in requests([base, ours], shown)]


@pytest.mark.parametrize(
    ("aliases", "stages", "expected"),
    [
        ({}, {}, []),
        ({"production": 3}, {}, [("production", 3, "alias")]),
        ({"production": None}, {}, [("production", None, "alias")]),
        ({"staging": 3}, {}, [("staging", 3, "alias")]),
        ({"canary": 3}, {}, [("canary", 3, "alias")]),
        ({}, {3: "Production"}, [("production", 3, "stage")]),
        ({}, {2: "Production"}, [("production", 2, "stage")]),
        # As MLflow's interface does when it archives what was there.
        ({}, {3: "Production", 1: "Archived"}, [("production", 3, "stage")]),
        ({}, {1: "Archived"}, [("production", None, "stage")]),
        ({}, {1: "None"}, [("production", None, "stage")]),
        ({}, {1: "Staging"}, [("production", None, "stage"), ("staging", 1, "stage")]),
        ({}, {2: "None"}, [("staging", None, "stage")]),
        ({}, {3: "Staging"}, [("staging", 3, "stage")]),
        # The alias counts where both ask.
        ({"production": 3}, {4: "Production"}, [("production", 3, "alias")]),
        ({}, {3: "Production", 4: "Production"}, [("production", 4, "stage")]),
        ({}, {3: "Archived", 4: "None"}, []),
    ],
)
def test_what_somebody_moves_in_mlflow_is_a_request(aliases, stages, expected):
    assert asked(changed(shown_of(NOW), aliases, stages)) == expected


@pytest.mark.parametrize("left", [(), (3, 4)])
def test_a_registry_that_lost_its_versions_asks_for_nothing(left):
    assert asked(Shown({}, dict.fromkeys(left, "None"))) == []


def test_what_mlflow_lacks_is_written_and_production_is_never_empty():
    ours = targets(production=2)
    found = writes([NOW, ours], shown_of(NOW))
    assert found == [
        SetAlias("production", 2),
        SetAlias("staging", None),
        SetStage(2, "Production"),
        SetStage(1, ARCHIVED),
    ]


def test_a_version_that_mlflow_lost_is_not_written():
    assert writes([targets(), targets(production=9)], shown_of(targets())) == []


def test_a_refused_request_is_put_back():
    for aliases, stages in (({"production": 3}, {}), ({}, {3: "Production", 1: "Archived"})):
        shown = changed(shown_of(NOW), aliases, stages)
        for write in writes([NOW, NOW], shown, {"production"}):
            shown = applied(shown, write)
        assert shown.aliases == NOW_ALIASES
        assert {
            version: stage for version, stage in shown.stages.items() if stage not in ("None", ARCHIVED)
        } == {
            1: "Production",
            2: "Staging",
        }


NOW_ALIASES = {"production": 1, "staging": 2}
ONE = st.sampled_from([None, *VERSIONS])
TARGETS = st.builds(targets, production=ONE, staging=ONE, canary=ONE, challenger=ONE).filter(
    lambda found: found["staging"] is None or found["staging"] != found["production"]
)
STAGE = st.sampled_from(["None", "Staging", "Production", ARCHIVED])
SHOWN = st.builds(
    lambda aliases, stages: Shown({a: v for a, v in aliases.items() if v is not None}, stages),
    st.fixed_dictionaries(dict.fromkeys(ALL_ALIASES, ONE)),
    st.fixed_dictionaries(dict.fromkeys(VERSIONS, STAGE)),
)


@given(TARGETS, TARGETS, st.data())
def test_killed_after_any_number_of_writes_nothing_is_asked_for_and_the_rest_is_written(base, ours, data):
    shown = shown_of(base)
    todo = writes([base, ours], shown)
    for write in todo[: data.draw(st.integers(0, len(todo)))]:
        shown = applied(shown, write)
        assert requests([base, ours], shown) == []
    for write in writes([base, ours], shown):
        shown = applied(shown, write)
    assert shown.aliases == shown_of(ours).aliases
    standing = {v: s for v, s in shown.stages.items() if s in ("Staging", "Production")}
    assert standing == stages_of(ours)
    assert requests([ours, ours], shown) == []
    assert writes([ours, ours], shown) == []


@given(TARGETS, TARGETS, SHOWN)
def test_bringing_mlflow_in_line_keeps_every_open_request(base, ours, shown):
    before = requests([base, ours], shown)
    for write in writes([base, ours], shown):
        shown = applied(shown, write)
    after = requests([ours, ours], shown)
    assert set(after) >= {each for each in before if each.version is not None}
    # And once all are answered with no, MLflow shows the ledger.
    for write in writes([ours, ours], shown, set(ALL_ALIASES)):
        shown = applied(shown, write)
    assert requests([ours, ours], shown) == []
    assert shown.aliases == shown_of(ours).aliases


@given(st.lists(TARGETS, min_size=2, max_size=5), st.data())
def test_several_moves_each_written_in_part_are_no_request(states, data):
    """As when MLflow fails in the middle of one move, and is away during the next."""
    shown = shown_of(states[0])
    for count in range(2, len(states) + 1):
        todo = writes(states[:count], shown)
        for write in todo[: data.draw(st.integers(0, len(todo)))]:
            shown = applied(shown, write)
        assert requests(states[:count], shown) == []
    for write in writes(states, shown):
        shown = applied(shown, write)
    assert shown.aliases == shown_of(states[-1]).aliases
    assert requests([states[-1]], shown) == []


def test_an_alias_moved_from_a_version_that_mlflow_lost_is_taken_away_when_that_is_refused():
    shown = Shown({"production": 3, "staging": 2}, {2: "Staging", 3: "None"})
    assert asked(shown) == [("production", 3, "alias")]
    assert writes([NOW, NOW], shown, {"production"}) == [SetAlias("production", None)]
    assert asked(Shown({"staging": 2}, shown.stages)) == []


ALIAS_AT_NOON = {("production", 3): Asked("alice", "12:00")}


@pytest.mark.parametrize(
    ("stage_at", "expected"),
    [("11:00", ("production", 3, "alias", "alice")), ("13:00", ("production", 4, "stage", "bob"))],
)
def test_the_later_of_two_requests_counts_where_it_is_known_when_they_were_made(stage_at, expected):
    at = changed(shown_of(NOW), aliases={"production": 3}, stages={4: "Production"})
    named = replace(
        at, asked_aliases=ALIAS_AT_NOON, asked_stages={4: Asked("bob", stage_at, stage="Production")}
    )
    (request,) = requests([NOW], named)
    assert (request.alias, request.version, request.by, request.asked.by) == expected


def test_of_two_versions_at_a_stage_the_later_one_is_asked_for():
    at = changed(shown_of(NOW), stages={3: "Production", 4: "Production"})
    named = replace(
        at,
        asked_stages={
            3: Asked("alice", "12:00", stage="Production"),
            4: Asked("bob", "11:00", stage="Production"),
        },
    )
    assert [(each.version, each.asked.by) for each in requests([NOW], named)] == [(3, "alice")]
    assert [each.version for each in requests([NOW], at)] == [4]


def test_who_moved_a_version_to_another_stage_is_not_who_moved_it_here():
    at = changed(shown_of(NOW), stages={3: "Production"})
    named = replace(at, asked_stages={3: Asked("alice", "12:00", stage="Staging")})
    assert [(each.version, each.asked) for each in requests([NOW], named)] == [(3, None)]


def test_an_alias_that_the_registrar_itself_took_away_is_no_request_and_is_put_back():
    at = replace(changed(shown_of(NOW), aliases={"production": None}), withdrawn=frozenset({"production"}))
    assert requests([NOW], at) == []
    assert writes([NOW], at) == [SetAlias("production", 1)]
