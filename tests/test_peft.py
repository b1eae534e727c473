"""Twenty LoRA steps against torch and PEFT: same batches, same adapter, same losses."""

from __future__ import annotations

import jax
import numpy as np
import peft
import pytest
import tiny_llava
import torch
import training
from transformers import LlavaForConditionalGeneration, get_cosine_schedule_with_warmup

from vsfa_jax import optim, state
from vsfa_jax.data.batch import Budget
from vsfa_jax.models.parameters import by_name

STEPS, RANK = 20, 4
PROJECTIONS = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")


def peft_model(directory, adapter):
    """The checkpoint under PEFT, its A and B set to ours."""
    base = LlavaForConditionalGeneration.from_pretrained(directory)
    config = peft.LoraConfig(
        r=RANK,
        lora_alpha=8,
        lora_dropout=0.0,
        target_modules=rf".*language_model.*\.({'|'.join(PROJECTIONS)})|.*projector\.linear_[12]",
    )
    model = peft.get_peft_model(base, config)
    named = dict(model.named_parameters())
    done = set()
    for name, value in adapter.items():
        layer, _, part = name.rpartition("/adapter/")
        for number in range(2) if "layers" in name else (None,):
            key = theirs(layer, number, part, named)
            array = np.asarray(value if number is None else value[number])
            with torch.no_grad():
                named[key].copy_(torch.tensor(array.T))
            done.add(key)
    trained = {key for key, parameter in named.items() if parameter.requires_grad}
    assert trained == done
    return model


def theirs(layer, number, part, named):
    """PEFT's key for one of our adapter's matrices."""
    part = f".lora_{part.upper()}."
    if layer.startswith("projector"):
        middle = {"up_proj": "linear_1", "down_proj": "linear_2"}[layer.split("/")[1]]
        found = [key for key in named if middle in key and part in key]
    else:
        place = f"layers.{number}."
        name = layer.split("/")[-1] + part
        found = [k for k in named if "language_model" in k and place in k and name in k]
    assert len(found) == 1, (layer, found)
    return found[0]


def reference_losses(model, vlm, groups):
    """Losses of training as transformers' users write it, one conversation a forward pass."""
    c = training.OPTIMIZER
    trained = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(
        trained, c.learning_rate, (c.b1, c.b2), c.epsilon, weight_decay=c.weight_decay
    )
    losses = []
    for number, examples in enumerate(groups):
        rate = float(optim.schedule(c)(number))
        for group in optimizer.param_groups:
            group["lr"] = rate
        total, count = 0.0, 0
        for example in examples:
            value, tokens = summed_loss(model, vlm, example)
            total, count = total + value, count + tokens
        loss = total / count
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(trained, c.clip_norm)
        optimizer.step()
        losses.append(loss.item())
    return losses


def summed_loss(model, vlm, example):
    """(sum of the cross entropy over what is trained, number of such tokens)."""
    size, patch = vlm.config.image_size, vlm.config.patch_size
    grid = size // patch
    pixels = example.patches[example.patch_positions > 0]
    images = {}
    if len(pixels):
        pixels = pixels.reshape(-1, grid, grid, 3, patch, patch).transpose(0, 3, 1, 4, 2, 5)
        images["pixel_values"] = torch.tensor(pixels.reshape(-1, 3, size, size))
    tokens = torch.tensor(example.tokens)[None].long()
    labels = torch.where(torch.tensor(example.trained)[None], tokens, -100)
    logits = model(input_ids=tokens, **images).logits[0, :-1]
    value = torch.nn.functional.cross_entropy(
        logits, labels[0, 1:], ignore_index=-100, reduction="sum"
    )
    return value, int((labels[0, 1:] != -100).sum())


def test_schedule_equals_transformers():
    c = training.OPTIMIZER
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], c.learning_rate)
    theirs = get_cosine_schedule_with_warmup(optimizer, c.warmup_steps, c.total_steps)
    ours = optim.schedule(training.dataclasses.replace(c, final_share=0.0))
    for step in range(c.total_steps):
        assert float(ours(step)) == pytest.approx(theirs.get_last_lr()[0], abs=1e-7)
        optimizer.step()
        theirs.step()


def test_losses_equal_peft(tmp_path):
    directory = tiny_llava.write(tmp_path)
    vlm = training.adapted(directory, rank=RANK)
    made = training.examples(vlm, STEPS * 4)
    groups = [made[4 * i : 4 * i + 4] for i in range(STEPS)]
    batches = [training.rows(vlm, [g[:2], g[2:]], Budget(150, 72)) for g in groups]
    adapter = jax.device_get(by_name(state.split(vlm.model, "lora").params))
    wanted = reference_losses(peft_model(directory, adapter), vlm, groups)
    ours = training.run(directory, batches, mode="lora").losses
    np.testing.assert_allclose(ours, wanted, atol=1e-4)
    assert wanted[-1] < wanted[0] - 0.5
