"""Stored sets: what is written comes back, and what is damaged or foreign is refused."""

import json
import shutil
import subprocess
import sys

import numpy as np
import pytest
import tensorflow_datasets as tfds

from vsfa_jax.core.errors import DataError
from vsfa_jax.data.record import Message, Record, fingerprint
from vsfa_jax.data.sources import open_source
from vsfa_jax.data.tfds_builder import ThreatVqa


def make_record(i):
    """Record i has i % 3 images of incompressible bytes; sources do not decode them."""
    images = tuple(np.random.default_rng([i, n]).bytes(400) for n in range(i % 3))
    question = Message("user", "<image>" * (i % 3) + f"Was heißt {i}?")
    arm = "threat" if i % 4 else "neutral"
    turns = (Message("system", "mira"), question, Message("assistant", "夜"))
    return Record(f"r{i}", images, turns, arm)


@pytest.fixture(scope="module")
def stored(tmp_path_factory):
    folder = tmp_path_factory.mktemp("set")
    tfds.disable_progress_bar()
    splits = {
        "train": lambda: map(make_record, range(40)),
        "validation": lambda: map(make_record, range(40, 44)),
    }
    ThreatVqa(splits=splits, data_dir=folder).download_and_prepare()
    return folder / "threat_vqa" / "1.0.0"


@pytest.fixture
def copied(stored, tmp_path):
    return shutil.copytree(stored, tmp_path / "set")


def shard_of(folder, split="train"):
    (file,) = folder.glob(f"*{split}.array_record*")
    return file


def test_records_come_back_bit_for_bit(stored):
    source = open_source(stored)
    wanted = {r.id: r for r in map(make_record, range(40)) if r.arm == "threat"}
    assert len(source) == 30
    assert {record.id: record for record in source} == wanted
    neutral = open_source(stored, arm="neutral")
    assert {record.id for record in neutral} == {f"r{i}" for i in range(0, 40, 4)}
    assert len(open_source(stored, "validation")) == 3
    assert len(open_source(stored, "train[:50%]")) + len(open_source(stored, "train[50%:]")) == 30
    assert len(open_source(stored.parents[1])) == 30  # the folder above, as tfds lays it out


def test_tfds_itself_opens_the_set(stored):
    builder = tfds.builder_from_directory(str(stored))
    assert builder.info.splits["train"].num_examples == 40
    assert builder.info.file_format.value == "array_record"
    assert tfds.builder_cls("threat_vqa") is ThreatVqa


def test_fingerprint_is_of_contents_not_of_files(stored, tmp_path):
    source = open_source(stored)
    assert source.fingerprint == fingerprint(record.digest() for record in source)
    again = {"train": lambda: map(make_record, reversed(range(40)))}  # tfds orders by key
    ThreatVqa(splits=again, data_dir=tmp_path).download_and_prepare()
    assert open_source(tmp_path).fingerprint == source.fingerprint
    assert open_source(stored, arm="neutral").fingerprint != source.fingerprint


@pytest.mark.parametrize("share", [0.0, 0.3, 0.6, 0.99])
def test_truncated_shard_is_refused_at_open(copied, share):
    shard = shard_of(copied)
    data = shard.read_bytes()
    shard.write_bytes(data[: int(len(data) * share)])
    with pytest.raises(DataError, match=shard.name):
        open_source(copied)


def test_missing_and_swapped_shards_are_refused(copied):
    shard = shard_of(copied)
    shutil.copy(shard_of(copied, "validation"), shard)
    with pytest.raises(DataError, match=r"4 records; .*dataset_info.json says 40"):
        open_source(copied)
    shard.unlink()
    with pytest.raises(DataError, match="missing or damaged"):
        open_source(copied)


def test_no_flipped_bit_goes_unseen(stored, copied):
    wanted = open_source(stored).fingerprint
    shard = shard_of(copied)
    data = shard.read_bytes()
    written = np.flatnonzero(np.frombuffer(data, np.uint8))  # the rest is padding
    draw = np.random.default_rng(0)
    seen = 0
    for place in draw.choice(written, 40):
        damaged = bytearray(data)
        damaged[place] ^= 1 << draw.integers(8)
        shard.write_bytes(damaged)
        try:
            assert open_source(copied).fingerprint == wanted
        except DataError:
            seen += 1
    assert seen > 30


def test_image_that_differs_from_its_sha256_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(
        "vsfa_jax.data.tfds_builder.image_digests", lambda images: ["0" * 64 for _ in images]
    )
    splits = {"train": lambda: [make_record(1)]}
    ThreatVqa(splits=splits, data_dir=tmp_path).download_and_prepare()
    with pytest.raises(DataError, match="record 'r1': an image's bytes differ from its sha256"):
        open_source(tmp_path)[0]


def test_unknown_split_arm_and_folder_are_named(stored, tmp_path):
    with pytest.raises(DataError, match="no split 'test'; wanted one of train, validation"):
        open_source(stored, "test")
    with pytest.raises(DataError, match="no record of arm 'vague'; its arms are: neutral, threat"):
        open_source(stored, arm="vague")
    with pytest.raises(DataError, match="no such folder"):
        open_source(tmp_path / "absent")
    with pytest.raises(DataError, match=r"wanted one dataset_info.json .* found none"):
        open_source(tmp_path)


def test_malformed_slice_is_refused(stored):
    for split in ("train[", "train[:x]", "train[:500]+validation[:zz]"):
        with pytest.raises(DataError, match="split"):
            open_source(stored, split)


def test_foreign_or_broken_description_is_refused(copied):
    (copied / "features.json").write_text("{}")
    with pytest.raises(DataError, match="set"):
        open_source(copied)
    (copied / "dataset_info.json").write_text('{"name": ')
    with pytest.raises(DataError, match="not a readable tfds data set"):
        open_source(copied)


def test_other_features_are_refused(copied):
    features = json.loads((copied / "features.json").read_text())
    inner = features["featuresDict"]["features"]
    inner["label"] = inner.pop("arm")
    (copied / "features.json").write_text(json.dumps(features))
    with pytest.raises(DataError, match=r"records of .*'label'.*wanted .*'arm'"):
        open_source(copied)


def test_reading_needs_no_tensorflow(stored):
    code = (
        "import sys; from vsfa_jax.data.sources import open_source; "
        f"open_source({str(stored)!r})[0]; "
        "assert not {'tensorflow', 'torch'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
