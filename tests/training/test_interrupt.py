"""Signals while a run is saved."""

import signal

import pytest

from training.interrupt import Interrupt


def test_only_a_further_ctrl_c_ends_a_process_that_saves():
    before = signal.getsignal(signal.SIGINT)  # a shell has processes in the background ignore it
    with Interrupt() as interrupt:
        for _ in range(3):  # of a launcher and of what stops all its processes
            signal.raise_signal(signal.SIGTERM)
        assert interrupt.asked == "SIGTERM"
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is before
