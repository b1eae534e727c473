"""What is said about a set: its manifest, its card for readers, its metadata for machines."""

from __future__ import annotations

import importlib.metadata
import json
import platform
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import vsfa_jax
from vsfa_jax.core.paths import write_atomic, write_json
from vsfa_jax.core.schema import to_dict
from vsfa_jax.synth import balance as balances
from vsfa_jax.synth import prompts, write
from vsfa_jax.synth.rows import Picture, Slot
from vsfa_jax.synth.settings import Settings
from vsfa_jax.synth.stages import hash_json

FORMAT = 1
_CONTEXT = {  # of Croissant 1.0, http://docs.mlcommons.org/croissant/docs/croissant-spec.html
    "@language": "en",
    "@vocab": "https://schema.org/",
    "sc": "https://schema.org/",
    "cr": "http://mlcommons.org/croissant/",
    "rai": "http://mlcommons.org/croissant/RAI/",
    "dct": "http://purl.org/dc/terms/",
    "conformsTo": "dct:conformsTo",
    "data": {"@id": "cr:data", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "examples": {"@id": "cr:examples", "@type": "@json"},
    **{
        name: f"cr:{name}"
        for name in (
            *(
                "citeAs",
                "column",
                "equivalentProperty",
                "extract",
                "field",
                "fileProperty",
                "fileObject",
                "fileSet",
            ),
            *("format", "includes", "isLiveDataset", "jsonPath", "key", "md5", "parentField"),
            *("path", "recordSet", "references", "regex", "repeated", "replace", "samplingRate"),
            *("separator", "source", "subField", "transform"),
        )
    },
}
_FIELDS = {  # of records.jsonl
    "id": "unique name of the record",
    "arm": "arm of the study",
    "split": "train or validation; no concept is in both",
    "kind": "kind of question",
    "image": "file of the picture; null where there is none",
}


def manifest(
    settings: Settings,
    stages: Mapping[str, Mapping[str, Any]],
    slots: Sequence[Slot],
    pictures: Mapping[str, Picture],
    out: Path,
) -> dict[str, Any]:
    """Where everything comes from, and hashes to tell it by; it has no date and no price.

    Args:
      settings: of the run.
      stages: for each stage its key, its counts and the hash of its rows.
      slots, pictures: what was written.
      out: the folder of the set.
    """
    shown = {slot.picture for slot in slots if slot.picture}
    used = [pictures[id] for id in sorted(shown)]
    records: dict[str, dict[str, int]] = {}
    for slot in slots:
        arms = records.setdefault(slot.split, {})
        arms[slot.arm] = arms.get(slot.arm, 0) + 1
    packages = ("numpy", "pillow", "tensorflow-datasets", "array_record", "tokenizers")
    return {
        "format": FORMAT,
        "versions": {
            "vsfa_jax": vsfa_jax.__version__,
            "python": platform.python_version(),
            **{name: importlib.metadata.version(name) for name in packages},
        },
        "settings": json.loads(json.dumps(to_dict(settings))),  # lists for tuples
        "seed": settings.seed,
        "prompts": {name: hash_json(text) for name, text in prompts.texts().items()},
        "models": {
            "concepts": settings.concepts.model,
            "images": settings.images.model,
            "questions": settings.questions.model,
        },
        "stages": dict(stages),
        "images": {
            "generators": dict(sorted(Counter(one.generator for one in used).items())),
            "licences": dict(sorted(Counter(one.licence for one in used).items())),
            "sha256": {one.id: one.sha256 for one in used},
        },
        "records": records,
        "fingerprints": write.fingerprints(slots, out),
        "content_sha256": write.content_hash(slots, pictures),
        "files": write.files(out),
    }


def publish(
    made: Mapping[str, Any], balance: dict[str, Any], settings: Settings, out: Path
) -> None:
    """Writes balance, card, metadata and, last, the manifest.

    Raises:
      OSError: they cannot be written.
    """
    write_json(out / "balance.json", balance)
    write_atomic(out / "balance.md", balances.table(balance))
    write_atomic(out / "README.md", card(made, balance, settings))
    write_json(out / "croissant.json", croissant(made, settings))
    write_json(out / "manifest.json", made)


def card(made: Mapping[str, Any], balance: dict[str, Any], settings: Settings) -> str:
    """The card, in Markdown with the front matter that the Hugging Face hub reads."""
    arms = ", ".join(f"`{arm}`" for arm in settings.arms.names)
    lines = [
        *("---", f"license: {settings.set.licence}", "task_categories:"),
        *("- visual-question-answering", f"pretty_name: {settings.set.name}", "---", ""),
        *(f"# {settings.set.name}", ""),
        "Neutral questions and answers about threat-related pictures, with matched control arms,",
        "for fine-tuning a vision-language model without safety labels. Made by",
        "`python -m vsfa_jax.synth`.",
        "",
        f"Arms: {arms}. One is trained on at a time:",
        "",
        "    python -m vsfa_jax.train --config=CONFIG --workdir=DIR \\",
        "        --config.data.path=THIS_FOLDER --config.data.arm=threat",
        "",
        "Splits part groups of concepts: a threat and its neutral counterpart are in one split.",
        "The `refusal` arm, if there is one, holds safety labels and is for comparison only.",
        "",
        *("## Balance", "", balances.table(balance)),
        *("## How it was made", ""),
        "| stage | rows |",
        "|---|---|",
        *(f"| {name} | {_counts(stage['counts'])} |" for name, stage in made["stages"].items()),
        "",
        f"- Concepts: {_source(settings.concepts.source, settings.concepts.model)}.",
        f"- Pictures: {_source(settings.images.source, settings.images.model)}; licences: "
        f"{_counts(made['images']['licences'])}. Files are kept as they came, with whatever a "
        "camera wrote into them.",
        f"- Questions: {_source(settings.questions.teacher, settings.questions.model)}.",
        f"- Seed {settings.seed}; sha256 over the records' contents: `{made['content_sha256']}`.",
        "",
        *("## Limits", ""),
        "Questions and answers were written and filtered by programs. The filters look for words",
        "and patterns; they pass some texts that judge or warn, and refuse some that do not.",
        "Nobody has checked every answer against its picture.",
        "",
    ]
    return "\n".join(lines)


def croissant(made: Mapping[str, Any], settings: Settings) -> dict[str, Any]:
    """Metadata as ML Commons' Croissant 1.0 has it, of the records as text and of every file."""
    files = [
        {
            "@type": "cr:FileObject",
            "@id": name,
            "name": name,
            "contentUrl": name,
            "encodingFormat": _encoding(name),
            "sha256": sha256,
        }
        for name, sha256 in made["files"].items()
    ]
    fields = [
        {
            "@type": "cr:Field",
            "@id": f"records/{name}",
            "name": f"records/{name}",
            "description": about,
            "dataType": "sc:Text",
            "source": {
                "fileObject": {"@id": write.RECORDS},
                "extract": {"column": name},
            },
        }
        for name, about in _FIELDS.items()
    ]
    return {
        "@context": _CONTEXT,
        "@type": "sc:Dataset",
        "name": settings.set.name,
        "description": "Neutral questions and answers about threat-related pictures, in arms.",
        "conformsTo": "http://mlcommons.org/croissant/1.0",
        "license": settings.set.licence,
        "version": "1.0.0",
        "distribution": files,
        "recordSet": [
            {"@type": "cr:RecordSet", "@id": "records", "name": "records", "field": fields}
        ],
    }


def _encoding(name: str) -> str:
    endings = {".jsonl": "application/jsonlines", ".json": "application/json"}
    return endings.get(Path(name).suffix, "application/octet-stream")


def _counts(counts: Mapping[str, Any]) -> str:
    """ "48 Picture, 2 blank": rows by type, and left out by reason."""
    flat = {name: number for name, number in counts.items() if name != "reasons"}
    flat |= counts.get("reasons", {})
    return ", ".join(f"{number} {name}" for name, number in flat.items()) or "none"


def _source(source: str, model: str) -> str:
    return f"{source}, {model}" if model else source
