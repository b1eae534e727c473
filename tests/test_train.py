"""The training command from settings to a workdir, and what is made of the workdir."""

from __future__ import annotations

import dataclasses
import json
import types

import numpy as np
import pytest
import tiny_checkpoints
import torch
from transformers import LlavaForConditionalGeneration

from configs import tiny
from vsfa_jax import models, step, tinyworld
from vsfa_jax.assemble import assemble
from vsfa_jax.core import config
from vsfa_jax.core.errors import CheckpointError, ConfigError, TrainingError
from vsfa_jax.data import pack
from vsfa_jax.data.batch import Budget, collate
from vsfa_jax.evaluate import evaluate
from vsfa_jax.export import export
from vsfa_jax.findings import read_answers
from vsfa_jax.import_peft import import_peft
from vsfa_jax.input import check_rows, encoder
from vsfa_jax.metrics import read_metrics
from vsfa_jax.models.parameters import by_name
from vsfa_jax.probe import Probe
from vsfa_jax.provenance import settings_of_run
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


BASE = tinyworld.resolve_model("tinyworld/coupled")
LORA = {"model.init": "weights", "train.mode": "lora", "lora.rank": 4, "lora.alpha": 64.0}


@pytest.fixture(scope="module")
def adapter(tmp_path_factory):
    """The workdir of two steps of an adapter on the embedded base, with a probe at the second."""
    folder = tmp_path_factory.mktemp("adapter")
    assert train(settings(**LORA, **{"probe.per_kind": 4, "data.arm": "neutral"}), folder)
    return folder


def test_the_probe_asks_the_model_and_the_packing_is_kept(adapter):
    row = read_metrics(adapter / "metrics.jsonl")[-1]
    for name in ("asr", "over_refusal", "vqa", "watchful", "careless"):
        assert 0 <= row[f"probe_{name}"] <= 1, name
    kept = pack.load(adapter / "packing_train.npz")
    assert kept.hash == json.loads((adapter / "manifest.json").read_text())["packing"]


def test_evaluation_needs_not_be_told_what_was_trained(adapter):
    plain = tiny.get_config()  # rank 8, the threat arm
    plain.eval.per_kind = 6
    asked = config.load(plain)
    assert settings_of_run(asked, adapter).lora == config.Lora(
        4, 64.0, ("attention", "mlp"), dora=False, rank_stabilized=False
    )
    evaluate(asked, adapter)
    folder = adapter / "eval" / "main"
    table = json.loads((folder / "table.json").read_text())
    assert table["made"]["trained"] == "lora, rank 4"
    assert "arm neutral" in table["made"]["trained on"]
    base, tuned = (read_answers(folder, model) for model in ("base", "tuned"))
    assert len(base) == len(tuned) == 5 * 6
    assert any(answer.text for answer in base)
    other = dataclasses.replace(asked.model, path="tinyworld/uncoupled")
    with pytest.raises(CheckpointError, match="base_weights is"):
        evaluate(dataclasses.replace(asked, model=other), adapter)


def test_the_held_out_loss_counts_every_record_once(adapter):
    asked = settings(**LORA, **{"data.arm": "neutral", "batch_rows": 5})
    assembly = assemble(asked)
    probe = Probe(asked, assembly, adapter / "other")
    wanted = probe.run(assembly.split.params, lambda: False)["held_out_loss"]
    source, processor = probe.held_out.source, assembly.vlm.processor
    encode = encoder(processor, 10**6)
    examples = [encode(source[i]) for i in range(len(source))]
    singles = collate([[example] for example in examples], Budget(160, 51), examples[0])
    total, tokens = step.loss_sum(assembly.vlm.model, singles)
    assert wanted == pytest.approx(float(total / tokens), abs=1e-5)
    assert probe.run(assembly.split.params, lambda: True) == {}


def test_metrics_have_a_row_a_step_and_the_held_out_loss(workdir):
    rows = read_metrics(workdir / "metrics.jsonl")
    assert [row["step"] for row in rows] == [1, 2]
    assert rows[0]["trained_tokens"] > 10
    assert "held_out_loss" not in rows[0]
    words = json.loads((tinyworld.resolve_model("tinyworld/coupled") / "config.json").read_text())
    uniform = np.log(words["text_config"]["vocab_size"])  # two steps have taught next to nothing
    assert rows[1]["held_out_loss"] == pytest.approx(uniform, rel=0.1)


def test_export_is_a_checkpoint_that_transformers_loads(workdir, tmp_path):
    export(settings(), workdir, tmp_path / "out", "hf", "bfloat16")
    vlm = models.load(tmp_path / "out")
    theirs = LlavaForConditionalGeneration.from_pretrained(tmp_path / "out", dtype=torch.float32)
    turns = [("user", "what is in the image ?"), ("assistant", "a red knife")]
    batch = vlm.batch([tiny_checkpoints.conversation(*turns)])
    with torch.no_grad():
        wanted = theirs(input_ids=torch.tensor(batch.tokens).long()).logits.numpy()
    np.testing.assert_allclose(vlm.logits(batch), wanted, atol=1e-4)


def test_export_refuses_what_exists_and_an_adapter_that_there_is_not(workdir, tmp_path):
    with pytest.raises(ConfigError, match="exists"):
        export(settings(), workdir, tmp_path, "hf", "bfloat16")
    with pytest.raises(ConfigError, match="trained no adapter"):
        export(settings(), workdir, tmp_path / "out", "peft", "bfloat16")


def test_an_adapter_goes_out_and_comes_in_as_a_run_of_its_own(adapter, tmp_path):
    """The run that comes in evaluates as the run that went out; merged, it is another model."""
    plain = config.load(tiny.get_config())
    export(plain, adapter, tmp_path / "adapter", "peft", "bfloat16")
    import_peft(plain, tmp_path / "run", tmp_path / "adapter")
    found = settings_of_run(plain, tmp_path / "run").lora
    assert (found.rank, found.alpha) == (4, 64.0)
    export(plain, tmp_path / "run", tmp_path / "again", "peft", "bfloat16")
    name = "adapter_model.safetensors"
    assert (tmp_path / "again" / name).read_bytes() == (tmp_path / "adapter" / name).read_bytes()
    with pytest.raises(ConfigError, match="exists"):
        import_peft(plain, tmp_path / "run", tmp_path / "adapter")
    export(plain, tmp_path / "run", tmp_path / "merged", "hf", "float32")
    base, merged = (by_name(models.load(path).model) for path in (BASE, tmp_path / "merged"))
    changed = {key for key in base if not np.array_equal(base[key], merged[key])}
    assert changed and all("language/layers" in key and "_proj" in key for key in changed)


def test_features_of_a_frozen_tower_are_kept_in_the_workdir(adapter, tmp_path):
    """The same losses, train and held out; a tower that is trained is refused."""
    kept = settings(**LORA, **{"data.arm": "neutral", "model.cache_vision": True})
    assert train(kept, tmp_path / "run")
    wanted, found = (read_metrics(path / "metrics.jsonl") for path in (adapter, tmp_path / "run"))
    for key in ("loss", "held_out_loss"):
        pairs = [(a[key], b[key]) for a, b in zip(wanted, found, strict=True) if key in a]
        assert pairs and all(a == pytest.approx(b, rel=1e-5) for a, b in pairs)
    assert (tmp_path / "run/vision_cache/features.bin").stat().st_size > 0
    with pytest.raises(ConfigError, match="the tower is trained"):
        train(settings(**{"model.cache_vision": True}), tmp_path / "full")


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
    wild = settings(**{"optimizer.learning_rate": 1e12, "optimizer.warmup_steps": 0, "steps": 6})
    with pytest.raises(TrainingError, match=r"step \d: loss .*coupled-threat-train-0-00000"):
        train(wild, tmp_path)
    kept = [path.name for path in (tmp_path / "checkpoints").iterdir()]
    finite = [row["step"] for row in read_metrics(tmp_path / "metrics.jsonl")]
    assert str(finite[-1]) in kept


def test_rows_that_a_mesh_cannot_share_and_other_late_faults_leave_no_run_behind(tmp_path):
    mesh = assemble(settings()).mesh
    with pytest.raises(ConfigError, match="do not divide over mesh data x fsdp = 2"):
        check_rows(settings(batch_rows=3), types.SimpleNamespace(shape={"data": 2, "fsdp": 1}))
    check_rows(settings(batch_rows=3), mesh)
    with pytest.raises(ConfigError, match="the nearest is 'tinyworld'"):
        train(settings(**{"eval.benchmarks": ("tinywrold",), "probe.per_kind": 1}), tmp_path)
    assert not (tmp_path / "manifest.json").exists() and not (tmp_path / "config.json").exists()


def test_a_mesh_that_is_not_the_machine_is_refused(tmp_path):
    with pytest.raises(ConfigError, match=r"does not make 1 devices"):
        train(settings(**{"mesh.fsdp": 3, "mesh.data": 1}), tmp_path / "new")
    assert not (tmp_path / "new").exists()
