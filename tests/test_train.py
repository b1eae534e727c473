"""The training command from settings to a workdir, and what is made of the workdir."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest
import tiny_llava
import torch
from transformers import LlavaForConditionalGeneration

from configs import tiny
from vsfa_jax import models, study, tinyworld
from vsfa_jax.core import config
from vsfa_jax.core.errors import CheckpointError, ConfigError, TrainingError
from vsfa_jax.export import export
from vsfa_jax.metrics import read_metrics
from vsfa_jax.tables import MODELS
from vsfa_jax.train import train


def settings(**changes):
    """Two steps of full training from random weights on a few drawn records."""
    made = tiny.get_config()
    made.model.init = "random"
    made.train.mode = "full"
    made.update({"steps": 2, "batch_rows": 2, "checkpoint_every": 1, "eval_every": 2})
    made.update({"tensorboard": False, "progress": False})
    made.data.size = made.data.validation_size = 16
    made.probe.per_kind = 0
    made.update_from_flattened_dict(changes)
    return config.load(made)


@pytest.fixture(scope="module")
def workdir(tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    train(settings(), folder)
    return folder


def test_metrics_have_a_row_a_step_and_the_held_out_loss(workdir):
    rows = read_metrics(workdir / "metrics.jsonl")
    assert [row["step"] for row in rows] == [1, 2]
    assert rows[0]["trained_tokens"] > 10
    assert "held_out_loss" not in rows[0]
    words = json.loads((tinyworld.resolve_model("tinyworld/coupled") / "config.json").read_text())
    uniform = np.log(words["text_config"]["vocab_size"])  # two steps have taught next to nothing
    assert rows[1]["held_out_loss"] == pytest.approx(uniform, rel=0.1)


def test_export_is_a_checkpoint_that_transformers_loads(workdir, tmp_path):
    export(settings(), workdir, tmp_path / "out")
    vlm = models.load(tmp_path / "out")
    theirs = LlavaForConditionalGeneration.from_pretrained(tmp_path / "out", dtype=torch.float32)
    turns = [("user", "what is in the image ?"), ("assistant", "a red knife")]
    batch = vlm.batch([tiny_llava.conversation(*turns)])
    with torch.no_grad():
        wanted = theirs(input_ids=torch.tensor(batch.tokens).long()).logits.numpy()
    np.testing.assert_allclose(vlm.logits(batch), wanted, atol=1e-4)


def test_export_refuses_what_exists_and_an_adapter(workdir, tmp_path):
    with pytest.raises(ConfigError, match="exists"):
        export(settings(), workdir, tmp_path)
    with pytest.raises(ConfigError, match="adapter"):
        export(settings(**{"train.mode": "lora"}), workdir, tmp_path / "out")


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"data.arm": "neutral"}, "data is"),
        ({"batch_rows": 4}, "packing is"),
        ({"seed": 1}, "base_weights is"),
        ({"optimizer.learning_rate": 1.0}, "optimizer.learning_rate was"),
    ],
)
def test_a_workdir_of_another_run_is_refused(workdir, change, named):
    before = sorted(path.name for path in (workdir / "checkpoints").iterdir())
    with pytest.raises(CheckpointError, match=named):
        train(settings(**change), workdir)
    assert sorted(path.name for path in (workdir / "checkpoints").iterdir()) == before


def test_a_loss_that_is_not_finite_stops_the_run_and_keeps_the_last_good_step(tmp_path):
    wild = settings(**{"optimizer.learning_rate": 1e30, "optimizer.warmup_steps": 0, "steps": 6})
    with pytest.raises(TrainingError, match=r"step \d: loss .*coupled-threat-train-0-00000"):
        train(wild, tmp_path)
    kept = [path.name for path in (tmp_path / "checkpoints").iterdir()]
    finite = [row["step"] for row in read_metrics(tmp_path / "metrics.jsonl")]
    assert str(finite[-1]) in kept


def test_a_mesh_that_is_not_the_machine_is_refused(tmp_path):
    with pytest.raises(ConfigError, match=r"does not make 1 devices"):
        train(settings(**{"mesh.fsdp": 3, "mesh.data": 1}), tmp_path / "new")
    assert not (tmp_path / "new").exists()


def test_study_runs_each_arm_and_seed_once(tmp_path, monkeypatch):
    trained, base_answers = [], []

    def fake_evaluate(one, workdir, base):
        base_answers.append([answer.text for answer in base])
        rate = {"rate": 0.5, "unjudged": 1}
        change = {"difference": -0.1, "low": -0.2, "high": 0.0}
        rows = [
            {"measure": m, "category": c, "rates": {"base": rate, "tuned": rate}, "change": change}
            for _, m, c in study.COLUMNS
        ]
        folder = workdir / "eval" / one.eval.name
        folder.mkdir(parents=True)
        (folder / "table.json").write_text(json.dumps({"rows": rows}))
        said = ({"case_id": "c", "model": name, "text": f"{name} says"} for name in MODELS)
        (folder / "answers.jsonl").write_text("".join(json.dumps(a) + "\n" for a in said))

    def fake_train(one, workdir):
        trained.append((one.data.arm, one.seed, workdir.name))

    monkeypatch.setattr(study, "train", fake_train)
    monkeypatch.setattr(study, "evaluate", fake_evaluate)
    plan = dataclasses.replace(settings().study, arms=("threat", "neutral"), seeds=(0, 1))
    asked = dataclasses.replace(settings(), study=plan)
    text = study.study(asked, tmp_path)
    assert trained[1:3] == [("threat", 1, "threat-1"), ("neutral", 0, "neutral-0")]
    assert "-10.0 [-20.0, +0.0] (1u)" in text.splitlines()[2]
    assert len(text.splitlines()) == 6
    assert base_answers == [[], *[["base says"]] * 3], "the base is asked once"
    study.study(asked, tmp_path)
    assert len(trained) == 4
    with pytest.raises(ConfigError, match="study.arms"):
        study.study(settings(), tmp_path)
