"""Ctrl-C is heard even when it falls into an import."""

import contextlib
import signal

import pytest

from streamflow.local.demo import interruptible


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_that_an_import_swallowed_is_raised_at_the_next_step(number):
    said: list[str] = []
    former = signal.getsignal(number)
    with interruptible(said.append) as step:
        step("one")
        with contextlib.suppress(KeyboardInterrupt):
            signal.raise_signal(number)
        with pytest.raises(KeyboardInterrupt):
            step("two")
    assert said == ["one"]
    assert signal.getsignal(number) is former
