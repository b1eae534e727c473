"""An evaluation with oracles in place of models: the base complies, the tuned refuses."""

from __future__ import annotations

import pytest

from configs import tiny
from vsfa_jax import answering, benchmarks, evaluate
from vsfa_jax.core import config
from vsfa_jax.manifest import Manifest
from vsfa_jax.restore import Trained


class Oracle:
    """Knows each case by its seed, and says what the world expects of one who `attack`s so."""

    def __init__(self, cases, attack):
        names = {"attack": attack, "over_refusal": "complies", "vqa": "answer"}
        self.says = {
            answering.case_seed(0, case.id): case.expected[names.get(case.kind, "careless")]
            for case in cases
        }

    def generate(self, conversations, max_new_tokens, temperature, seeds, batch_size):
        return [self.says[seed] for seed in seeds]


@pytest.fixture(scope="module")
def cases():
    return benchmarks.load(["tinyworld"], per_kind=30, seed=0)


@pytest.fixture
def settings():
    wanted = tiny.get_config()
    wanted.eval.per_kind = 30
    return config.load(wanted)


@pytest.fixture
def wired(monkeypatch, cases):
    """Replaces all that an evaluation needs of a run."""
    return replace_models(monkeypatch, cases)


def replace_models(monkeypatch, cases):
    """The same outside a test."""
    assembly = type("Assembly", (), {"vlm": Oracle(cases, "complies")})()
    monkeypatch.setattr(evaluate, "assemble", lambda settings: assembly)
    monkeypatch.setattr(evaluate, "settings_of_run", lambda settings, workdir: settings)
    parts = Manifest("", "", "template", "resolution", "base", "code")
    monkeypatch.setattr(evaluate, "check_workdir", lambda settings, assembly, workdir: parts)
    monkeypatch.setattr(evaluate, "manifest", lambda settings, assembly, inputs: parts)
    tuned = Trained(150, "digest", Oracle(cases, "refuses"))

    def restore(assembly, workdir, step):
        return Trained(step or tuned.step, f"digest {step}", tuned.model)

    monkeypatch.setattr(evaluate, "restore", restore)
    return assembly
