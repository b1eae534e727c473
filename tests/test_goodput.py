"""Where the wall time goes, in one process and over several."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import jax
import jax.numpy as jnp
import pytest

from vsfa_jax.goodput import NAMES, Clock, describe


class Watch:
    """A clock that goes on when it is told."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def seconds(row: dict) -> dict:
    """The sums that are not zero, by their own names."""
    prefix = "seconds_"
    named = {k.removeprefix(prefix): v for k, v in row.items() if k.startswith(prefix)}
    assert list(named) == list(NAMES)
    return {name: value for name, value in named.items() if value}


def compiled(watch: Watch, took: float) -> None:
    """What jax says when it has compiled."""
    jax.monitoring.record_event_duration_secs("/jax/core/compile/backend_compile_duration", took)


def test_every_second_counts_once() -> None:
    watch = Watch()
    with Clock(age_s=4, now=watch) as clock:
        watch.now += 1
        clock.begin_steps([], 0)
        watch.now += 10
        with clock.on("data_wait"):
            watch.now += 2
        with clock.on("evaluation"):
            watch.now += 3
            with clock.on("checkpoint"):
                watch.now += 0.5
            watch.now += 1
        row = clock.row()
    wanted = {"start": 5, "step": 10, "data_wait": 2, "evaluation": 4, "checkpoint": 0.5}
    assert seconds(row) == wanted
    assert row["goodput"] == pytest.approx(10 / 21.5)
    assert describe(row) == ("goodput 47%: start 5 s, data_wait 2 s, step 10 s, evaluation 4 s")
    with pytest.raises(KeyError):
        clock.turn("lunch")


def test_compilation_is_taken_from_what_it_happens_in_and_nested_spans_count_once() -> None:
    watch = Watch()
    with Clock(now=watch) as clock:
        watch.now += 10
        compiled(watch, 2)  # from 8 to 10
        watch.now += 5
        compiled(watch, 1)  # from 14 to 15
        compiled(watch, 4)  # from 11 to 15, and holds the one before
        watch.now += 1
        assert seconds(clock.row()) == {"start": 10, "compilation": 6}
        clock.turn("step")
        watch.now += 1
        compiled(watch, 3)  # what was before `step` has been counted
        assert seconds(clock.row()) == {"start": 10, "compilation": 7}
    compiled(watch, 1)
    assert seconds(clock.row()) == {"start": 10, "compilation": 7}, "it listens no longer"


def test_a_real_compilation_is_heard() -> None:
    with Clock() as clock:
        jax.jit(lambda x: jnp.sin(x) @ x)(jnp.ones((7, 7)))
        assert seconds(clock.row())["compilation"] > 0


def test_what_is_done_again_was_lost() -> None:
    """Six steps, of which four were saved; then a second process that goes on from there."""
    watch, rows = Watch(), []
    with Clock(age_s=5, now=watch) as clock:
        clock.begin_steps([], 0)
        for number in range(1, 7):
            watch.now += 10
            with clock.on("data_wait"):
                watch.now += 1
            rows.append({"step": number, "loss": 0.5, **clock.row()})
    assert seconds(rows[-1]) == {"start": 5, "step": 60, "data_wait": 6}
    with Clock(age_s=7, now=watch) as clock:
        clock.begin_steps(rows, 4)
        assert seconds(clock.row()) == {"start": 12, "step": 40, "data_wait": 4, "lost": 22}
        watch.now += 10
        fifth = {"step": 5, **clock.row()}
    # killed again, before anything was saved: its steps are lost with those of the first
    with Clock(age_s=1, now=watch) as clock:
        clock.begin_steps([*rows[:4], fifth, rows[5]], 4)
        assert seconds(clock.row()) == {"start": 13, "step": 40, "data_wait": 4, "lost": 32}
    with Clock(now=watch) as clock:
        clock.begin_steps([{"step": 1, "loss": 0.5}], 1)
        assert seconds(clock.row()) == {}, "rows of a program that did not count"


def test_a_process_knows_its_age() -> None:
    code = (
        "import time; time.sleep(0.3)\n"
        "from vsfa_jax.goodput import age_of_process; print(age_of_process())"
    )
    began = time.monotonic()
    root = Path(__file__).parents[1]
    said = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=root
    )
    assert 0.3 <= float(said.stdout) + 0.02 <= time.monotonic() - began + 0.04
