"""The order in which the processes of a test run get the files."""

from order_of_files import next_scope, scope_of


def test_the_short_files_come_last_and_the_cluster_first():
    waiting = {
        "tests/unit/test_types.py": range(90),
        "tests/e2e/": range(200),
        "tests/integration/test_score.py": range(2),
        "tests/integration/test_apply.py": range(9),
        "tests/integration/governance/test_trail.py": range(1),
        "tests/cluster/": range(3),
    }
    order = []
    while waiting:
        order.append(next_scope(waiting))
        del waiting[order[-1]]
    assert order == [
        "tests/cluster/",
        "tests/integration/governance/test_trail.py",
        "tests/e2e/",
        "tests/integration/test_apply.py",
        "tests/integration/test_score.py",
        "tests/unit/test_types.py",
    ]


def test_files_that_share_fixtures_are_one_scope():
    assert scope_of("tests/cluster/test_cluster_way.py") == scope_of("tests/cluster/test_cluster_load.py")
    assert scope_of("tests/e2e/test_json.py") == scope_of("tests/e2e/test_bad_input.py")
    assert scope_of("tests/e2e/test_json.py") == scope_of("tests/e2e/test_how_to.py")
    assert scope_of("tests/unit/test_json.py") == "tests/unit/test_json.py"
