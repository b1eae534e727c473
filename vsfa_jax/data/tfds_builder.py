"""The stored form of records: a tfds builder that needs no TensorFlow.

    tfds.builder_from_directory(DIR).as_data_source("train")

Files are ArrayRecord. Images are stored as they came, and `open_source` reads them so: what tfds
itself decodes depends on which packages happen to be installed.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import tensorflow_datasets as tfds

from vsfa_jax.data.record import Record, image_digests

Records = Callable[[], Iterable[Record]]


class ThreatVqa(tfds.core.GeneratorBasedBuilder):
    """Conversations about images.

    Args:
      splits: for each split's name a function that returns its records; it may be called again.
      others: what tfds's own builders take, e.g. `data_dir`.
    """

    VERSION = tfds.core.Version("1.0.0")
    RELEASE_NOTES = {"1.0.0": "First form."}  # noqa: RUF012  (tfds reads it from the class)

    # No citation or checksum files lie beside this class; looking for them would make tfds import
    # a package that it does not declare.
    code_path = None

    def __init__(self, *, splits: Mapping[str, Records] | None = None, **others: Any):
        self._splits = dict(splits or {})
        others["file_format"] = "array_record"
        super().__init__(**others)

    def _info(self) -> tfds.core.DatasetInfo:
        text = tfds.features.Text()
        return tfds.core.DatasetInfo(
            builder=self,
            description="Questions and answers about images, as conversations.",
            features=tfds.features.FeaturesDict(
                {
                    "id": text,
                    "images": tfds.features.Sequence(tfds.features.Image()),
                    "sha256": tfds.features.Sequence(text),
                    "messages": tfds.features.Sequence({"role": text, "content": text}),
                    "arm": text,
                }
            ),
        )

    def _split_generators(self, dl_manager: Any) -> dict[str, Iterator[tuple[str, dict]]]:
        del dl_manager
        return {name: self._generate_examples(records()) for name, records in self._splits.items()}

    def _generate_examples(self, records: Iterable[Record]) -> Iterator[tuple[str, dict]]:
        for record in records:
            yield (
                record.id,
                {
                    "id": record.id,
                    "images": list(record.images),
                    "sha256": image_digests(record.images),
                    "messages": [dataclasses.asdict(message) for message in record.messages],
                    "arm": record.arm,
                },
            )
