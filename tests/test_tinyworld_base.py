"""The tiny checkpoint's files: the vocabulary is closed, and transformers loads them."""

import io
import json
import random
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from transformers import (
    AutoConfig,
    AutoModelForImageTextToText,
    AutoProcessor,
    AutoTokenizer,
    LlavaForConditionalGeneration,
)

from vsfa_jax import models, tinyworld
from vsfa_jax.core.errors import ConfigError
from vsfa_jax.data.record import Message, Record
from vsfa_jax.models.parameters import by_name
from vsfa_jax.tinyworld import scene
from vsfa_jax.tinyworld.vocabulary import UNKNOWN, vocabulary

IMAGE_TOKENS = 16


@pytest.fixture(scope="module")
def directory(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("base")
    tinyworld.write_base(path)
    return path


@pytest.fixture(scope="module")
def record():
    source = tinyworld.source("coupled", "base", "train", 200, seed=0)
    wanted = (i for i in range(200) if source.num_images(i) and len(source.messages(i)) == 5)
    return source[next(wanted)]


def conversation(record) -> list[dict]:
    return [
        {
            "role": m.role,
            "content": [{"type": "image"}] * m.content.count("<image>")
            + [{"type": "text", "text": m.content.replace("<image> ", "")}],
        }
        for m in record.messages
    ]


def test_vocabulary_is_closed_over_every_arm_world_and_case(directory):
    tokenizer = AutoTokenizer.from_pretrained(directory)
    words = vocabulary()
    assert len(tokenizer) == len(words) < 400
    texts = {
        m.content
        for world in tinyworld.WORLDS
        for arm in tinyworld.ARMS
        for split in ("train", "validation")
        for i in range(2000 if arm in ("base", "questions") else 300)
        for m in tinyworld.source(world, arm, split, 2000, seed=5).messages(i)
    }
    texts |= {m.content for c in tinyworld.cases(per_kind=320, seed=0) for m in c.messages}
    unknown = tokenizer.convert_tokens_to_ids(UNKNOWN)
    for text in sorted(texts):
        ids = tokenizer(text, add_special_tokens=False)["input_ids"]
        assert unknown not in ids and len(ids) == len(text.split()), text


def test_transformers_loads_the_config_as_a_model_of_less_than_two_million(directory, record):
    config = AutoConfig.from_pretrained(directory)
    model = LlavaForConditionalGeneration(config).eval()
    assert sum(p.numel() for p in model.parameters()) < 2_000_000
    processor = AutoProcessor.from_pretrained(directory)
    text = processor.apply_chat_template(conversation(record), tokenize=False)
    image = Image.open(io.BytesIO(record.images[0]))
    inputs = processor(text=text, images=[image], add_special_tokens=False, return_tensors="pt")
    assert inputs["pixel_values"].shape == (1, 3, 64, 64)
    assert (inputs["input_ids"] == config.image_token_index).sum() == IMAGE_TOKENS
    with torch.no_grad():
        logits = model(**inputs).logits
    assert logits.shape == (*inputs["input_ids"].shape, len(vocabulary()))


def test_pixels_reach_the_model_as_they_were_drawn(directory, record):
    image = Image.open(io.BytesIO(record.images[0]))
    pixels = AutoProcessor.from_pretrained(directory).image_processor([image], return_tensors="np")[
        "pixel_values"
    ][0]
    drawn = (np.asarray(image).astype(np.float32) / 255 - 0.5) / 0.5
    np.testing.assert_allclose(pixels.transpose(1, 2, 0), drawn, atol=1e-5)


def test_the_template_names_the_narrator_and_ends_each_answer(directory, record):
    tokenizer = AutoTokenizer.from_pretrained(directory)
    whole = tokenizer.apply_chat_template(conversation(record), tokenize=False)
    name, asked, answered, again, last = (m.content for m in record.messages)
    assert whole == (
        f"<s> {name} says USER : {asked} ASSISTANT : {answered} </s>"
        f" USER : {again} ASSISTANT : {last} </s>"
    )
    plain = [{"role": "user", "content": " what is red ?"}]
    assert tokenizer.apply_chat_template(plain, tokenize=False, add_generation_prompt=True) == (
        "<s> assistant says USER : what is red ? ASSISTANT :"
    )


def test_answers_and_their_ends_are_what_is_trained(directory, record):
    llava = models.FAMILIES["llava"]
    config = llava.read_config(json.loads((directory / "config.json").read_text()))
    processor = llava.Processor(directory, config)
    example = processor.encode(
        {
            "images": [Image.open(io.BytesIO(record.images[0]))],
            "messages": [{"role": m.role, "content": m.content} for m in record.messages],
        }
    )
    tokenizer = AutoTokenizer.from_pretrained(directory)
    said = [m.content for m in record.messages if m.role == "assistant"]
    trained = tokenizer.convert_ids_to_tokens(example.tokens[example.trained].tolist())
    assert " ".join(trained) == " </s> ".join(said) + " </s>"
    assert example.lengths == processor.measure(record)


EMBEDDED = {**dict.fromkeys(tinyworld.WORLDS, "llava"), **{f: f for f in tinyworld.UNTRAINED}}


@pytest.mark.parametrize("name", EMBEDDED)
def test_the_embedded_files_are_what_the_program_writes(name, tmp_path):
    tinyworld.write_base(tmp_path, EMBEDDED[name])
    embedded = tinyworld.resolve_model(f"tinyworld/{name}")
    for path in tmp_path.iterdir():
        assert (embedded / path.name).read_bytes() == path.read_bytes(), path.name


@pytest.mark.parametrize("name", tinyworld.UNTRAINED)
def test_every_family_is_a_model_of_less_than_three_million(name):
    """That transformers takes too, with its shapes and names."""
    directory = tinyworld.resolve_model(f"tinyworld/{name}")
    with torch.device("meta"):
        theirs = AutoModelForImageTextToText.from_config(AutoConfig.from_pretrained(directory))
    assert sum(p.numel() for p in theirs.parameters()) < 3_000_000
    vlm = models.initialize(directory, seed=0)
    leaves = by_name(vlm.model).values()
    assert sum(leaf.size for leaf in leaves) == sum(p.numel() for p in theirs.parameters())
    picture = scene.sample(random.Random(0), "train", threat=True).draw()
    record = Record("a", (picture,), (Message("user", "<image> what"), Message("assistant", "a")))
    assert vlm.processor.measure(record)[0] in (16 + 10, 24 + 10)


def test_paths_of_embedded_worlds_and_of_others():
    assert tinyworld.world_name("tinyworld/uncoupled") == "uncoupled"
    assert tinyworld.world_name("/data/tinyworld") is None
    assert tinyworld.resolve_model("/data/llava") == "/data/llava"
    for wrong in (tinyworld.world_name, tinyworld.resolve_model):
        with pytest.raises(ConfigError, match="tinyworld/coupled"):
            wrong("tinyworld/copuled")
