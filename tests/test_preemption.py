"""SIGTERM and Ctrl-C let the step end."""

from __future__ import annotations

import os
import signal

import pytest

from vsfa_jax.preemption import Preemption


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_is_remembered_and_the_handler_put_back(number: signal.Signals) -> None:
    before = signal.getsignal(number)
    with Preemption() as preemption:
        assert not preemption.requested
        assert not preemption.agreed()
        os.kill(os.getpid(), number)
        assert preemption.requested
        assert preemption.agreed()
    assert signal.getsignal(number) == before


def test_a_second_sigterm_changes_nothing_and_a_second_interrupt_interrupts() -> None:
    before = signal.getsignal(signal.SIGINT)  # a background job of a shell ignores it
    with Preemption() as preemption, pytest.raises(KeyboardInterrupt):
        os.kill(os.getpid(), signal.SIGTERM)
        os.kill(os.getpid(), signal.SIGTERM)
        assert preemption.requested
        os.kill(os.getpid(), signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is before


def test_the_handler_is_put_back_after_an_error() -> None:
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(RuntimeError, match="of the loop"), Preemption():
        raise RuntimeError("of the loop")
    assert signal.getsignal(signal.SIGTERM) == before
