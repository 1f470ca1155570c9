import os
import time

import pytest

from streamflow.drops.complete import QUIET_SECONDS, is_complete


def aged(folder, seconds):
    then = time.time() - seconds
    for path in (*folder.iterdir(), folder):
        os.utime(path, (then, then))


def refuse_to_wait(seconds):
    raise AssertionError(f"waited {seconds} s")


def test_a_drop_that_was_left_alone_is_taken_at_once(tmp_path):
    (tmp_path / "users.csv").touch()
    aged(tmp_path, QUIET_SECONDS + 1)
    assert is_complete(tmp_path, pause=refuse_to_wait)


def test_a_drop_that_changed_a_moment_ago_is_waited_for(tmp_path):
    (tmp_path / "users.csv").touch()
    waits = []

    def pause(seconds):
        waits.append(seconds)
        aged(tmp_path, QUIET_SECONDS + 1)

    assert is_complete(tmp_path, pause=pause)
    assert len(waits) == 1
    assert 0 < waits[0] <= QUIET_SECONDS


def test_a_drop_that_goes_on_changing_is_left_for_the_next_time(tmp_path):
    waits = []

    def pause(seconds):
        waits.append(seconds)
        (tmp_path / f"{len(waits)}.csv").touch()

    assert not is_complete(tmp_path, patience=30, pause=pause)
    assert sum(waits) <= 30


def test_a_drop_of_the_future_is_left_alone(tmp_path):
    (tmp_path / "users.csv").touch()
    aged(tmp_path, -3600)
    assert not is_complete(tmp_path, pause=refuse_to_wait)


@pytest.mark.parametrize("marker", ["_INCOMPLETE", "labels.csv.part", "labels.csv.tmp"])
def test_a_drop_that_is_marked_as_incomplete_is_left_alone(tmp_path, marker):
    (tmp_path / marker).touch()
    aged(tmp_path, QUIET_SECONDS + 1)
    assert not is_complete(tmp_path, pause=refuse_to_wait)


def test_a_marker_counts_whatever_it_is_and_is_not_opened(tmp_path):
    (tmp_path / "_INCOMPLETE").symlink_to(tmp_path / "nowhere")
    os.utime(tmp_path, (1, 1))
    assert not is_complete(tmp_path, pause=refuse_to_wait)
    (tmp_path / "_INCOMPLETE").unlink()
    os.mkfifo(tmp_path / "labels.csv.part")
    assert not is_complete(tmp_path, pause=refuse_to_wait)


def test_a_link_to_nothing_leaves_a_drop_complete(tmp_path):
    (tmp_path / "labels.csv").symlink_to(tmp_path / "nowhere")
    os.utime(tmp_path / "labels.csv", (1, 1), follow_symlinks=False)
    os.utime(tmp_path, (1, 1))
    assert is_complete(tmp_path, pause=refuse_to_wait)
