"""How the next token is chosen: greedy, sampled, from the nucleus; where an answer stops."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny_checkpoints as tiny

from vsfa_jax import decode, models
from vsfa_jax.decode.buckets import bucket
from vsfa_jax.decode.sampling import choose

PROMPTS = [
    tiny.conversation(("user", "<image> what is this"), sizes=((20, 30),)),
    tiny.conversation(("user", "how many")),
    tiny.conversation(("user", "<image> is red <image>"), sizes=((9, 40), (33, 16)), seed=4),
]


@pytest.fixture(scope="module")
def vlm(tmp_path_factory):
    return models.load(tiny.write("qwen3_vl", tmp_path_factory.mktemp("base")))


def shares(probabilities, sampling, draws=4000):
    """How often each token is chosen."""
    logits = jnp.tile(jnp.log(jnp.asarray(probabilities))[None], (draws, 1))
    keys = jax.vmap(jax.random.key)(jnp.arange(draws, dtype=jnp.uint32))
    chosen = choose(logits, keys, jnp.zeros(draws, jnp.int32), sampling)
    return np.bincount(np.asarray(chosen), minlength=len(probabilities)) / draws


def test_temperature_zero_takes_the_likeliest():
    assert shares([0.3, 0.4, 0.3], decode.Sampling()).tolist() == [0, 1, 0]


def test_sampling_follows_the_probabilities():
    wanted = [0.5, 0.3, 0.15, 0.05]
    np.testing.assert_allclose(shares(wanted, decode.Sampling(1.0)), wanted, atol=0.03)


@pytest.mark.parametrize(
    ("top_p", "kept"),
    [(0.4, [1]), (0.5, [1]), (0.51, [1, 2]), (0.85, [1, 2, 3]), (1.0, [0, 1, 2, 3])],
)
def test_the_nucleus_is_the_fewest_tokens_that_hold_top_p(top_p, kept):
    probabilities = np.array([0.05, 0.5, 0.3, 0.15])
    found = shares(probabilities, decode.Sampling(1.0, top_p))
    assert np.flatnonzero(found).tolist() == kept
    wanted = probabilities[kept] / probabilities[kept].sum()
    np.testing.assert_allclose(found[kept], wanted, atol=0.03)


def test_any_stop_token_ends_an_answer(vlm, monkeypatch):
    free = vlm.generate_tokens(PROMPTS, max_new_tokens=12, batch_size=3)
    stops = (free[0][3], free[2][5])
    monkeypatch.setattr(vlm.processor, "stop_tokens", stops)
    for tokens, unstopped in zip(
        vlm.generate_tokens(PROMPTS, max_new_tokens=12, batch_size=3), free, strict=True
    ):
        ends = [place for place, token in enumerate(unstopped) if token in stops]
        assert tokens == unstopped[: ends[0] + 1 if ends else len(unstopped)]
    assert len(vlm.generate_tokens(PROMPTS[:1], 12)[0]) <= 4


def test_stop_tokens_are_those_of_generation_config(vlm, tmp_path):
    (tmp_path / "generation_config.json").write_text('{"eos_token_id": [7, 8]}')
    assert models.stop_tokens(tmp_path, vlm.processor.tokenizer) == (7, 8)
    (tmp_path / "generation_config.json").write_text('{"eos_token_id": 9}')
    assert models.stop_tokens(tmp_path, vlm.processor.tokenizer) == (9,)
    (tmp_path / "generation_config.json").unlink()
    wanted = (vlm.processor.tokenizer.eos_token_id,)
    assert models.stop_tokens(tmp_path, vlm.processor.tokenizer) == wanted


def test_sampled_answers_depend_on_their_seed_only(vlm):
    """Not on the batch, its padding, or the other prompts in it."""
    options = {"max_new_tokens": 8, "temperature": 1.0, "top_p": 0.9}
    together = vlm.generate_tokens(PROMPTS, seeds=[7, 8, 9], batch_size=3, **options)
    for number, prompt in enumerate(PROMPTS):
        alone = vlm.generate_tokens([prompt], seeds=[7 + number], batch_size=2, **options)
        assert alone[0] == together[number]
    other = vlm.generate_tokens(PROMPTS, seeds=[17, 18, 19], batch_size=3, **options)
    assert other != together


@pytest.mark.parametrize("length", [0, 1, 31, 32, 33, 100, 1000, 1025, 5000])
def test_a_bucket_wastes_at_most_an_eighth(length):
    found = bucket(length, 32)
    assert found >= length and found % 32 == 0
    assert found - length < max(32, length / 8 + 1)
