"""What every family must do, against transformers on random weights; families are discovered."""

from __future__ import annotations

import dataclasses

import jax
import numpy as np
import pytest
import tiny_checkpoints as tiny
import torch
import torch_reference as reference

from vsfa_jax import models
from vsfa_jax.data.batch import NO_IMAGE, Budget, collate

CONVERSATIONS = [
    tiny.conversation(
        ("user", "<image> what is this"),
        ("assistant", "a knife"),
        ("user", "how many"),
        ("assistant", "two red"),
        sizes=((40, 23),),
    ),
    tiny.conversation(
        ("system", "you help"),
        ("user", "what is in <image> the <image> picture"),
        ("assistant", "no"),
        ("user", "<image> describe it <image>"),
        ("assistant", "it is a red knife"),
        sizes=((16, 16), (30, 55), (90, 9), (8, 70)),
        seed=3,
    ),
    tiny.conversation(("user", "what is red"), ("assistant", "blue")),
    tiny.conversation(("user", "<image>"), ("assistant", "yes"), sizes=((8, 8),), seed=9),
    tiny.conversation(("user", "<image> this"), ("assistant", "no"), sizes=((64, 63),), seed=11),
]
VARIANTS = [{}, {"kv_heads": 1}, {"kv_heads": 4, "tied": True}]


@pytest.fixture(scope="module", params=sorted(models.FAMILIES))
def family(request):
    return request.param


@pytest.fixture(scope="module")
def checkpoint(family, tmp_path_factory):
    return tiny.write(family, tmp_path_factory.mktemp(family) / "base")


@pytest.fixture(scope="module")
def vlm(checkpoint):
    return models.load(checkpoint)


@pytest.fixture(scope="module")
def torch_model(checkpoint):
    return reference.load(checkpoint)


def test_every_family_is_tested(family):
    assert family in tiny.MAKERS


@pytest.mark.parametrize("variant", VARIANTS, ids=["4:2", "7:1", "4:4 tied"])
def test_logits_equal_transformers(family, variant, tmp_path):
    directory = tiny.write(family, tmp_path, **variant)
    vlm, model = models.load(directory), reference.load(directory)
    batch = vlm.batch(CONVERSATIONS)
    ours = np.asarray(vlm.logits(batch))
    assert ours.dtype == np.float32
    for row, conversation in enumerate(CONVERSATIONS):
        length = int((batch.segment_ids[row] > 0).sum())
        theirs = reference.logits(vlm, model, conversation, batch.tokens[row, :length])
        assert np.abs(theirs).max() > 0.5  # weights large enough for a difference to show
        error = np.abs(ours[row, :length] - theirs).max() / np.abs(theirs).max()
        assert error < 1e-4, f"conversation {row}: {error}"


def test_packed_rows_equal_unpacked(vlm):
    examples = [vlm.processor.encode(c) for c in CONVERSATIONS]
    tokens, patches = (sum(e.lengths[i] for e in examples) for i in (0, 1))
    packed = collate([examples], Budget(tokens + 5, patches + 8), examples[0])
    ours = np.asarray(vlm.logits(packed))[0]
    alone, at = np.asarray(vlm.logits(vlm.batch(CONVERSATIONS))), 0
    for row, example in enumerate(examples):
        length = len(example.tokens)
        np.testing.assert_allclose(ours[at : at + length], alone[row, :length], atol=2e-5)
        at += length


def test_a_neighbour_in_the_row_has_no_gradient(vlm):
    """The logits of one conversation do not depend on the embeddings or patches of the other."""
    first, second = (vlm.processor.encode(c) for c in CONVERSATIONS[:2])
    lengths = [a + b for a, b in zip(first.lengths, second.lengths, strict=True)]
    batch = collate([[first, second]], Budget(*lengths), first)

    def logits_of_first(patches):
        vision = type(batch.vision)(patches, batch.vision.segment_ids, batch.vision.places)
        changed = type(batch)(**{**vars(batch), "vision": vision})
        return vlm.model.logits(vlm.model.hidden(changed))[0, : len(first.tokens)].sum()

    gradient = np.asarray(jax.jit(jax.grad(logits_of_first))(batch.vision.patches))[0]
    own = len(first.patches)
    assert np.abs(gradient[:own]).max() > 0
    assert not gradient[own:].any()


def test_greedy_tokens_equal_transformers(vlm, torch_model, monkeypatch):
    """64 tokens, of which none stops; a comparison ends where torch's two best are nearly equal."""
    monkeypatch.setattr(vlm.processor, "stop_tokens", (10**6,))
    prompts = [
        {"images": c["images"][:n], "messages": c["messages"][:m]}
        for c, n, m in zip(CONVERSATIONS, (1, 2, 0, 1, 1), (1, 2, 1, 1, 1), strict=True)
    ]
    ours = vlm.generate_tokens(prompts, max_new_tokens=64, batch_size=len(prompts))
    compared = total = 0
    for prompt, tokens in zip(prompts, ours, strict=True):
        example = vlm.processor.encode(prompt, generate=True)
        theirs, margins = greedy(vlm, torch_model, prompt, example.tokens)
        total += len(theirs)
        for mine, wanted, margin in zip(tokens, theirs, margins, strict=False):
            if margin < 1e-5:
                break
            assert mine == wanted
            compared += 1
    assert compared >= 0.95 * total and total == 64 * len(prompts)


def greedy(vlm, model, prompt, tokens):
    """Transformers' tokens, and the margin of each relative to the largest logit."""
    made = model.generate(
        **reference.inputs(vlm, prompt, tokens),
        max_new_tokens=64,
        do_sample=False,
        eos_token_id=list(vlm.processor.stop_tokens),
        pad_token_id=0,
        output_logits=True,
        return_dict_in_generate=True,
    )
    scores = torch.stack(made.logits)[:, 0]
    best = scores.topk(2).values
    margins = (best[:, 0] - best[:, 1]) / scores.abs().amax(-1)
    return made.sequences[0, len(tokens) :].tolist(), margins.tolist()


def test_decoding_with_a_cache_equals_the_whole_forward(vlm):
    prompt = {"images": CONVERSATIONS[0]["images"], "messages": CONVERSATIONS[0]["messages"][:1]}
    said = np.array(vlm.generate_tokens([prompt], max_new_tokens=8, batch_size=1)[0], np.int32)
    example = vlm.processor.encode(prompt, generate=True)
    places = example.positions.max() + 1 + np.arange(len(said), dtype=np.int32)
    whole = dataclasses.replace(
        example,
        tokens=np.concatenate([example.tokens, said]),
        trained=np.concatenate([example.trained, said > 0]),
        positions=np.concatenate([example.positions, np.repeat(places[:, None], 3, axis=1)]),
        image_index=np.concatenate([example.image_index, np.full(len(said), NO_IMAGE)]),
    )
    logits = np.asarray(vlm.logits(collate([[whole]], Budget(*whole.lengths), whole)))[0]
    at = len(example.tokens) - 1 + np.arange(len(said))
    assert logits[at].argmax(-1).tolist() == said.tolist()
