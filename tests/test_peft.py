"""Adapters against torch and PEFT: same function, same gradients, same losses, both ways."""

from __future__ import annotations

import dataclasses
import itertools
import json

import jax
import numpy as np
import peft
import pytest
import speeds
import tiny_checkpoints as tiny
import torch
import torch_reference as reference
import training
from safetensors.numpy import load_file, save_file
from transformers import get_cosine_schedule_with_warmup

from vsfa_jax import hf_checkpoint, models, optim, peft_adapter, state, step
from vsfa_jax.core.errors import WeightsError
from vsfa_jax.data.batch import Budget
from vsfa_jax.models.parameters import by_name

FAMILIES = sorted(models.FAMILIES)
STEPS = 20
KINDS = {
    "lora": training.ADAPTER,
    "rank-stabilised": dataclasses.replace(training.ADAPTER, rank_stabilized=True),
    "dora": dataclasses.replace(training.ADAPTER, dora=True),
}


def adapter_of(vlm):
    """Its parts by name."""
    return jax.device_get(by_name(state.split(vlm.model, "lora").params))


def export(vlm, config, directory):
    """The adapter as PEFT loads it."""
    directory.mkdir()
    family = models.FAMILIES[vlm.family]
    peft_adapter.write(directory, family, vlm.model, config, adapter_of(vlm), "base")
    return directory


def peft_model(base, adapter):
    """The checkpoint under PEFT with an exported adapter, every tensor of which it took."""
    wrapped = peft.PeftModel.from_pretrained(reference.load(base), adapter, is_trainable=True)
    taken = peft.get_peft_model_state_dict(wrapped)
    written = load_file(adapter / peft_adapter.WEIGHTS)
    assert set(taken) == set(written)
    assert all(np.array_equal(taken[key].detach().numpy(), written[key]) for key in written)
    return wrapped.eval()


def summed_loss(model, vlm, conversation):
    """(sum of the cross entropy over what is trained, number of such tokens)."""
    example = vlm.processor.encode(conversation)
    made = reference.inputs(vlm, conversation, example.tokens)
    labels = torch.where(torch.tensor(example.trained)[None], made["input_ids"], -100)
    logits = model(**made).logits[0, :-1]
    value = torch.nn.functional.cross_entropy(
        logits, labels[0, 1:], ignore_index=-100, reduction="sum"
    )
    return value, int((labels[0, 1:] != -100).sum())


def mean_loss(model, vlm, conversations):
    total, count = 0.0, 0
    for conversation in conversations:
        value, tokens = summed_loss(model, vlm, conversation)
        total, count = total + value, count + tokens
    return total / count


def reference_losses(model, vlm, groups):
    """Losses of training as transformers' users write it, one conversation a forward pass."""
    c = training.OPTIMIZER
    trained = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(
        trained, c.learning_rate, (c.b1, c.b2), c.epsilon, weight_decay=0.0
    )
    losses = []
    for number, conversations in enumerate(groups):
        rate = float(optim.schedule(c)(number))
        for group in optimizer.param_groups:
            group["lr"] = rate
        loss = mean_loss(model, vlm, conversations)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(trained, c.clip_norm)
        optimizer.step()
        losses.append(loss.item())
    return losses


def test_schedule_equals_transformers():
    c = training.OPTIMIZER
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], c.learning_rate)
    theirs = get_cosine_schedule_with_warmup(optimizer, c.warmup_steps, c.total_steps)
    ours = optim.schedule(dataclasses.replace(c, final_share=0.0))
    for number in range(c.total_steps):
        assert float(ours(number)) == pytest.approx(theirs.get_last_lr()[0], abs=1e-7)
        optimizer.step()
        theirs.step()


@pytest.mark.parametrize(
    ("name", "kind"),
    speeds.cases(itertools.product(FAMILIES, ("lora", "dora")), {("llava", "dora")}),
)
def test_losses_equal_peft(name, kind, tmp_path, monkeypatch):
    """Twenty AdamW steps from the same adapter: the losses agree."""
    monkeypatch.setattr(
        training, "OPTIMIZER", dataclasses.replace(training.OPTIMIZER, weight_decay=0.0)
    )
    base, config = tiny.write(name, tmp_path / "base"), KINDS[kind]
    vlm = training.adapted(base, config=config, moved=True)
    theirs = peft_model(base, export(vlm, config, tmp_path / "adapter"))
    made = training.conversations(STEPS * 2)
    groups = [made[2 * i : 2 * i + 2] for i in range(STEPS)]
    wanted = reference_losses(theirs, vlm, groups)
    batches = [
        training.rows(vlm, [[vlm.processor.encode(c) for c in group]], Budget(400, 500))
        for group in groups
    ]
    ours = training.run(base, batches, mode="lora", adapter=config, moved=True).losses
    np.testing.assert_allclose(ours, wanted, atol=1e-4)
    assert wanted[-1] < wanted[0] - 0.5


@pytest.mark.parametrize(
    ("name", "kind"),
    speeds.cases(
        itertools.product(FAMILIES, KINDS),
        {("llava", "lora"), ("qwen3_vl", "lora"), ("qwen2_5_vl", "dora")},
    ),
)
def test_function_and_gradients_equal_peft(name, kind, tmp_path):
    base, config = tiny.write(name, tmp_path / "base"), KINDS[kind]
    vlm = training.adapted(base, config=config, moved=True)
    exported = export(vlm, config, tmp_path / "adapter")
    theirs, conversations = peft_model(base, exported), training.conversations(4, seed=5)
    batch = vlm.batch(conversations)
    logits = np.asarray(vlm.logits(batch))
    for row, conversation in enumerate(conversations):
        length = int((batch.segment_ids[row] > 0).sum())
        wanted = reference.logits(vlm, theirs, conversation, batch.tokens[row, :length])
        assert np.abs(logits[row, :length] - wanted).max() < 1e-4 * np.abs(wanted).max()

    mean_loss(theirs, vlm, conversations).backward()
    parts = state.split(vlm.model, "lora")
    one = jax.tree.map(lambda x: x[None], batch)
    gradients = jax.jit(lambda p, f, b: step.gradients(parts.structure, p, f, b))
    _, tokens, sums = gradients(parts.params, parts.frozen, one)
    ours = {name: np.asarray(leaf) / float(tokens) for name, leaf in by_name(sums).items()}
    keys = dict(peft_adapter.their_tensors(models.FAMILIES[vlm.family], vlm.model, ours))
    found = {key.replace(".default", ""): p.grad for key, p in theirs.named_parameters()}
    found = {key.replace("vector.weight", "vector"): grad for key, grad in found.items()}
    for key, gradient in keys.items():
        wanted = 0 * gradient if found[key] is None else found[key].numpy()
        assert np.abs(gradient - wanted).max() <= 1e-4 * np.abs(wanted).max(), key
        # LLaVA's projector does not read the tower's last layer
        assert wanted.any() or "vision_tower.encoder.layers.2." in key
    assert {key for key, grad in found.items() if grad is not None} <= set(keys)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", FAMILIES)
def test_export_and_import_are_inverse(name, kind, tmp_path):
    base, config = tiny.write(name, tmp_path / "base"), KINDS[kind]
    vlm = training.adapted(base, config=config, moved=True)
    exported = export(vlm, config, tmp_path / "adapter")
    family, skeleton = models.skeleton(base)
    found, values = peft_adapter.read(exported, family, skeleton)
    assert dataclasses.replace(found, targets=()) == dataclasses.replace(config, targets=())
    wanted = adapter_of(vlm)
    assert set(values) == set(wanted)
    assert all(np.array_equal(values[part], leaf) for part, leaf in wanted.items())


@pytest.mark.parametrize(
    ("name", "kind"),
    speeds.cases(
        itertools.product(FAMILIES, KINDS),
        {("llava", "lora"), ("llava_next", "rank-stabilised"), ("qwen3_vl", "dora")},
    ),
)
def test_merged_export_in_transformers_gives_our_logits(name, kind, tmp_path):
    base = tiny.write(name, tmp_path / "base")
    vlm = training.adapted(base, config=KINDS[kind], moved=True)
    out = tmp_path / "out"
    hf_checkpoint.write(out, base, models.FAMILIES[name], vlm.model, np.float32)
    conversation = training.conversations(2, seed=1)[1]
    batch = vlm.batch([conversation])
    wanted = reference.logits(vlm, reference.load(out), conversation, batch.tokens[0])
    ours = np.asarray(vlm.logits(batch))[0]
    assert np.abs(ours - wanted).max() < 1e-4 * np.abs(wanted).max()
    assert np.abs(np.asarray(models.load(base).logits(batch))[0] - wanted).max() > 1e-2


@pytest.fixture
def exported(tmp_path):
    base = tiny.write("qwen3_vl", tmp_path / "base")
    vlm = training.adapted(base, moved=True)
    return models.skeleton(base), export(vlm, training.ADAPTER, tmp_path / "adapter")


def test_an_untrained_adapter_is_not_exported(tmp_path):
    vlm = training.adapted(tiny.write("llava", tmp_path / "base"))
    with pytest.raises(WeightsError, match="changes nothing"):
        export(vlm, training.ADAPTER, tmp_path / "adapter")
    out, family = tmp_path / "out", models.FAMILIES["llava"]
    with pytest.raises(WeightsError, match="changes nothing"):
        hf_checkpoint.write(out, tmp_path / "base", family, vlm.model, np.float32)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t.update(extra=np.zeros(3, np.float32)), "no place.*extra"),
        (lambda t: t.pop(sorted(t)[5]), "though other layers are adapted"),
    ],
)
def test_an_adapter_that_does_not_fit_is_refused(exported, change, message):
    (family, skeleton), directory = exported
    tensors = load_file(directory / peft_adapter.WEIGHTS)
    change(tensors)
    save_file(tensors, directory / peft_adapter.WEIGHTS)
    with pytest.raises(WeightsError, match=message):
        peft_adapter.read(directory, family, skeleton)


def test_an_older_name_of_a_module_is_known(exported):
    (family, skeleton), directory = exported
    tensors = load_file(directory / peft_adapter.WEIGHTS)
    older = {key.replace("model.visual.", "visual."): value for key, value in tensors.items()}
    assert set(older) != set(tensors)
    _, wanted = peft_adapter.read(directory, family, skeleton)
    save_file(older, directory / peft_adapter.WEIGHTS)
    _, found = peft_adapter.read(directory, family, skeleton)
    assert all(np.array_equal(found[part], leaf) for part, leaf in wanted.items())


def test_an_adapter_that_changed_its_base_is_refused(exported):
    (family, skeleton), directory = exported
    path = directory / peft_adapter.CONFIG
    settings = json.loads(path.read_text())
    path.write_text(json.dumps({**settings, "init_lora_weights": "pissa"}))
    with pytest.raises(WeightsError, match="changed the base model's weights too"):
        peft_adapter.read(directory, family, skeleton)
