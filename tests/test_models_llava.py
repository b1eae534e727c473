"""LLaVA against transformers on random weights: logits, tokens, decoding, weights both ways."""

from __future__ import annotations

import json
import shutil

import jax
import numpy as np
import pytest
import tiny_llava
import torch
from safetensors.numpy import load_file, save_file
from transformers import AutoTokenizer, LlavaForConditionalGeneration, LlavaProcessor
from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil

from vsfa_jax import models
from vsfa_jax.core.errors import DataError, WeightsError
from vsfa_jax.models.parameters import by_name
from vsfa_jax.models.weights import write_weights

CONVERSATIONS = [
    tiny_llava.conversation(
        ("user", "<image> what is this"),
        ("assistant", "a knife"),
        ("user", "how many"),
        ("assistant", "two red"),
        images=1,
        size=(40, 23),
    ),
    tiny_llava.conversation(
        ("system", "this is a picture"),
        ("user", "what is in <image> the <image> picture"),
        ("assistant", "no"),
        images=2,
        seed=3,
    ),
    tiny_llava.conversation(("user", "what is red"), ("assistant", "blue")),
]


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    return tiny_llava.write(tmp_path_factory.mktemp("llava"))


@pytest.fixture(scope="module")
def vlm(checkpoint):
    return models.load(checkpoint)


def reference_logits(directory, vlm, batch):
    """Transformers' logits for every row of a batch, unpadded."""
    model = LlavaForConditionalGeneration.from_pretrained(directory).eval()
    size, patch = vlm.config.image_size, vlm.config.patch_size
    grid = size // patch
    for row in range(len(batch.tokens)):
        length = int((batch.segment_ids[row] > 0).sum())
        patches = batch.vision.patches[row][np.asarray(batch.vision.positions[row]) > 0]
        pixels = patches.reshape(-1, grid, grid, 3, patch, patch).transpose(0, 3, 1, 4, 2, 5)
        pixels = torch.tensor(pixels.reshape(-1, 3, size, size))
        tokens = torch.tensor(batch.tokens[row, :length])[None].long()
        with torch.no_grad():
            out = model(input_ids=tokens, pixel_values=pixels if len(pixels) else None)
        yield length, out.logits[0].numpy()


@pytest.mark.parametrize(("kv_heads", "layer"), [(4, -2), (2, -2), (1, -1), (2, 1)])
def test_logits_equal_transformers(tmp_path, kv_heads, layer):
    directory = tiny_llava.write(tmp_path, kv_heads=kv_heads, layer=layer)
    vlm = models.load(directory)
    batch = vlm.batch(CONVERSATIONS)
    ours = np.asarray(vlm.logits(batch))
    assert ours.dtype == np.float32
    for row, (length, theirs) in enumerate(reference_logits(directory, vlm, batch)):
        assert np.abs(theirs).max() > 0.5  # weights large enough for a difference to show
        np.testing.assert_allclose(ours[row, :length], theirs, atol=1e-4, rtol=0)


def test_pixels_equal_transformers_processor(vlm, checkpoint):
    picture = tiny_llava.picture(1, (37, 20))
    example = vlm.processor.encode(
        {"images": [picture], "messages": [{"role": "user", "content": "<image> what"}]},
        generate=True,
    )
    wanted = vlm.processor.images([picture], return_tensors="np")["pixel_values"][0]
    patch = example.patches[1 + 5].reshape(3, 4, 4)  # second row, second column of 4 x 4
    np.testing.assert_array_equal(patch, wanted[:, 4:8, 4:8])
    assert not example.patches[0].any()


@pytest.mark.parametrize("written", [True, False])
def test_tokens_are_those_of_transformers_processor(tmp_path, written):
    """Also where the template leaves the beginning to the tokenizer, as LLaVA-1.5's does."""
    directory = tiny_llava.write(tmp_path)
    begins = {"SpecialToken": {"id": "<s>", "type_id": 0}}
    parts = [begins, {"Sequence": {"id": "A", "type_id": 0}}]
    file, template = directory / "tokenizer.json", directory / "chat_template.jinja"
    tokenizer = json.loads(file.read_text())
    tokenizer["post_processor"] = {
        "type": "TemplateProcessing",
        "single": parts,
        "pair": parts,
        "special_tokens": {"<s>": {"id": "<s>", "ids": [1], "tokens": ["<s>"]}},
    }
    file.write_text(json.dumps(tokenizer))
    if not written:
        template.write_text(template.read_text().replace("{{ bos_token }}", ""))
    processor = LlavaProcessor(
        image_processor=CLIPImageProcessorPil.from_pretrained(directory),
        tokenizer=AutoTokenizer.from_pretrained(directory),
        patch_size=4,
        vision_feature_select_strategy="default",
        num_additional_image_tokens=1,
        chat_template=template.read_text(),
    )
    picture = tiny_llava.picture(1)
    said = [{"type": "image", "image": picture}, {"type": "text", "text": "what is this"}]
    wanted = processor.apply_chat_template(
        [
            {"role": "user", "content": said},
            {"role": "assistant", "content": [{"type": "text", "text": "a knife"}]},
        ],
        tokenize=True,
        return_dict=True,
    )["input_ids"][0]
    turns = [("user", "<image>what is this"), ("assistant", "a knife")]
    example = models.load(directory).processor.encode(
        {**tiny_llava.conversation(*turns), "images": [picture]}
    )
    assert example.tokens.tolist() == list(wanted) and wanted[0] == 1 and wanted[1] != 1
    assert example.trained.sum() == 3, "a knife </s>"


def test_only_what_the_assistant_says_is_trained(vlm):
    example = vlm.processor.encode(CONVERSATIONS[0])
    words = vlm.processor.tokenizer.convert_ids_to_tokens(example.tokens[example.trained])
    assert words == ["a", "knife", "</s>", "two", "red", "</s>"]
    assert not example.trained[example.tokens == vlm.config.image_token].any()


def test_marks_and_images_must_agree(vlm):
    broken = {**CONVERSATIONS[0], "images": []}
    with pytest.raises(DataError, match="found 1 <image> marks and 0 images"):
        vlm.processor.encode(broken)


def test_a_conversation_that_trains_nothing_is_an_error(vlm):
    with pytest.raises(DataError, match="no token would be trained"):
        vlm.processor.encode(tiny_llava.conversation(("user", "what is this")))


def test_template_that_rewrites_history_is_an_error(vlm):
    tokenizer = vlm.processor.tokenizer
    kept = tokenizer.chat_template
    try:
        tokenizer.chat_template = "{{ messages|length }}" + kept
        with pytest.raises(DataError, match="differently"):
            vlm.processor.encode(CONVERSATIONS[0])
    finally:
        tokenizer.chat_template = kept


def test_greedy_decoding_equals_transformers(vlm, checkpoint):
    prompts = [
        {"images": c["images"], "messages": c["messages"][: 2 if i == 1 else 1]}
        for i, c in enumerate(CONVERSATIONS)
    ]
    ours = vlm.generate(prompts, max_new_tokens=12, batch_size=2)
    model = LlavaForConditionalGeneration.from_pretrained(checkpoint).eval()
    for prompt, text in zip(prompts, ours, strict=True):
        example = vlm.processor.encode(prompt, generate=True)
        images = prompt["images"]
        pixels = {}
        if images:
            values = vlm.processor.images(images, return_tensors="np")["pixel_values"]
            pixels["pixel_values"] = torch.tensor(values)
        theirs = model.generate(
            input_ids=torch.tensor(example.tokens)[None].long(),
            attention_mask=torch.ones(1, len(example.tokens), dtype=torch.long),
            **pixels,
            max_new_tokens=12,
            do_sample=False,
            eos_token_id=2,
            pad_token_id=0,
        )[0, len(example.tokens) :]
        wanted = vlm.processor.tokenizer.decode(theirs, skip_special_tokens=True).strip()
        assert text == wanted


def test_sampled_answers_depend_on_their_seed_only(vlm):
    prompts = [{"images": [], "messages": [{"role": "user", "content": "what"}]}] * 3
    first = vlm.generate(prompts, 8, temperature=1.0, seeds=[7, 8, 9], batch_size=3)
    other = vlm.generate(prompts[:1], 8, temperature=1.0, seeds=[9], batch_size=3)
    assert first[2] == other[0]
    assert len(set(first)) > 1


def test_weights_go_out_as_they_came_in(vlm, checkpoint, tmp_path):
    family = models.FAMILIES["llava"]
    write_weights(tmp_path / "out.safetensors", family, by_name(vlm.model), vlm.config.patch_size)
    ours, theirs = (
        load_file(tmp_path / "out.safetensors"),
        load_file(checkpoint / "model.safetensors"),
    )
    assert set(ours) == set(theirs)
    for key, tensor in theirs.items():
        np.testing.assert_array_equal(ours[key], tensor.astype(ours[key].dtype))


@pytest.fixture
def copy(checkpoint, tmp_path):
    shutil.copytree(checkpoint, tmp_path / "copy")
    return tmp_path / "copy"


def edit(directory, change):
    tensors = load_file(directory / "model.safetensors")
    change(tensors)
    save_file(tensors, directory / "model.safetensors", metadata={"format": "pt"})


KEY = "language_model.model.layers.1.self_attn.k_proj.weight"


def test_missing_tensor_is_named(copy):
    edit(copy, lambda t: t.pop(KEY))
    with pytest.raises(WeightsError, match="language/layers/k_proj/kernel.*layers.1.self_attn"):
        models.load(copy)


def test_unused_tensor_is_named(copy):
    edit(copy, lambda t: t.update(extra=np.zeros(3, np.float32)))
    with pytest.raises(WeightsError, match="no place.*extra"):
        models.load(copy)


def test_misshapen_tensor_is_named(copy):
    edit(copy, lambda t: t.update({KEY: t[KEY][:-1]}))
    with pytest.raises(WeightsError, match=r"k_proj.*\(15, 32\)"):
        models.load(copy)


def test_older_and_newer_key_layouts_load(vlm, copy):
    def rename(tensors):
        for key in list(tensors):
            new = key.replace("vision_tower.", "model.vision_tower.vision_model.")
            new = new.replace("language_model.model.", "model.language_model.")
            new = new.replace("language_model.lm_head", "lm_head")
            new = new.replace("multi_modal_projector", "model.multi_modal_projector")
            tensors[new] = tensors.pop(key)

    edit(copy, rename)
    ours, theirs = by_name(models.load(copy).model), by_name(vlm.model)
    assert all(np.array_equal(ours[name], theirs[name]) for name in theirs)


def test_pickles_are_refused(copy):
    (copy / "model.safetensors").rename(copy / "pytorch_model.bin")
    with pytest.raises(WeightsError, match="pytorch_model.bin.*may run code"):
        models.load(copy)


def test_truncated_file_is_refused(copy):
    path = copy / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(WeightsError, match="not a whole safetensors file"):
        models.load(copy)


def test_index_that_leaves_the_directory_is_refused(copy):
    index = {"weight_map": {KEY: "../model.safetensors"}}
    (copy / "model.safetensors.index.json").write_text(json.dumps(index))
    with pytest.raises(WeightsError, match="leaves the directory"):
        models.load(copy)


@pytest.mark.parametrize("key", ["vision_feature_layer", "text_config", "vision_config"])
def test_absent_config_key_is_an_error(copy, key):
    config = json.loads((copy / "config.json").read_text())
    del config[key]
    (copy / "config.json").write_text(json.dumps(config))
    with pytest.raises(WeightsError, match=key):
        models.load(copy)


def test_foreign_family_is_an_error(copy):
    (copy / "config.json").write_text('{"model_type": "bert"}')
    with pytest.raises(WeightsError, match="'bert', wanted one of"):
        models.load(copy)


def test_random_initialisation_is_seeded_and_shaped_as_the_checkpoint(vlm, checkpoint):
    one, same = models.initialize(checkpoint, 3), models.initialize(checkpoint, 3)
    other = models.initialize(checkpoint, 4)
    shapes = jax.tree.map(np.shape, by_name(vlm.model))
    assert jax.tree.map(np.shape, by_name(one.model)) == shapes
    name = "language/layers/q_proj/kernel"
    assert np.array_equal(by_name(one.model)[name], by_name(same.model)[name])
    assert not np.array_equal(by_name(one.model)[name], by_name(other.model)[name])
