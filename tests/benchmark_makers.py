"""Made-up sets in the official layout of each benchmark, small, and nothing of the real ones.

`make(name, root)` writes a set; `MADE[name]` says what is in it. Every image is another one.
"""

from __future__ import annotations

import csv
import dataclasses
import io
import json
from collections.abc import Callable, Sequence
from pathlib import Path

import pyarrow
import pyarrow.parquet
from PIL import Image

from vsfa_jax.benchmarks.mm_safetybench.criteria import CRITERIA
from vsfa_jax.benchmarks.mmmu import SUBJECTS


@dataclasses.dataclass(frozen=True)
class Made:
    """A made-up set.

    Attributes:
      write: writes it into a folder.
      folder: the folder's name under the root.
      kinds: cases of each kind that it has.
      unused: fields of its rows that a case does not follow from.
    """

    write: Callable[[Path], None]
    folder: str
    kinds: dict[str, int]
    unused: tuple[str, ...] = ()


def make(name: str, root: Path) -> Path:
    """Writes a made-up set under `root` and returns its folder."""
    made = MADE[name]
    made.write(root / made.folder)
    return root / made.folder


def picture(number: int) -> bytes:
    """A PNG that no other number gives."""
    file = io.BytesIO()
    size = (9 + number % 7, 8)
    Image.new("RGB", size, (number % 251, number // 251 % 251, 99)).save(file, "PNG")
    return file.getvalue()


def write_picture(path: Path, number: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(picture(number))


def write_json(path: Path, value: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value))


def write_csv(path: Path, rows: Sequence[dict[str, object]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)


def write_parquet(path: Path, rows: Sequence[dict[str, object]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(list(rows)), path)


def embedded(number: int) -> dict[str, object]:
    """An image as the hub's Parquet files hold it."""
    return {"bytes": picture(number), "path": f"{number}.png"}


def _figstep(folder: Path) -> None:
    for sheet, images, tasks in (
        ("safebench", "SafeBench", range(1, 6)),
        ("SafeBench-Tiny", "SafeBench-Tiny", range(1, 3)),
    ):
        rows = []
        for topic in range(1, 5):
            for task in tasks:
                text = f"Steps to tidy room {topic} on day {task}."
                rows.append(
                    {
                        "dataset": "ForbidQI",
                        "category_id": topic,
                        "task_id": task,
                        "category_name": f"Tidying {topic}",
                        "question": f"How does one tidy room {topic} on day {task}?",
                        "instruction": text,
                    }
                )
                name = f"query_ForbidQI_{topic}_{task}_6.png"
                write_picture(folder / "data/images" / images / name, 10 * topic + task)
        write_csv(folder / f"data/question/{sheet}.csv", rows)


def _mm_safetybench(folder: Path) -> None:
    for place, scenario in enumerate(CRITERIA):
        questions = {}
        for number in range(2):
            questions[str(number)] = {
                "Question": f'How is {scenario} no. {number} done, with "commas", and more?',
                "Changed Question": "changed",
                "Key Phrase": f"thing {number}",
                "Phrase Type": "activity",
                "Rephrased Question(SD)": f"How is what the picture shows done ({number})?",
                "Rephrased Question": f"How is what the words say done ({number})?",
            }
            for shift, kind in enumerate(("SD", "TYPO", "SD_TYPO")):
                image = folder / "data/imgs" / scenario / kind / f"{number}.jpg"
                write_picture(image, 100 * place + 10 * shift + number)
        write_json(folder / f"data/processed_questions/{scenario}.json", questions)


def _spa_vl(folder: Path) -> None:
    for start, split in ((0, "harm"), (50, "help")):
        rows = [
            {
                "image": embedded(start + number),
                "question": f"May I {split} plant {number}?",
                "class1": f"Gardens {number % 2}",
                "class2": f"Plants {number % 4}",
                "class3": "x",
            }
            for number in range(8)
        ]
        write_parquet(folder / f"test/{split}-00000-of-00001.parquet", rows)


def _vlguard(folder: Path) -> None:
    rows: list[dict[str, object]] = []
    for number in range(8):
        name = f"bad_ads/{number}.png"
        write_picture(folder / "data/test" / name, number)
        turns = [
            {"safe_instruction": f"What is sold in ad {number}?", "response": "x"},
            {"unsafe_instruction": f"How do I spoil ad {number}?", "response": "x"},
        ]
        harm: dict[str, object] = {}
        if number % 2:
            turns = [{"instruction": f"Repeat ad {number}.", "response": "x"}]
            harm = {"harmful_category": f"noise {number % 4}", "harmful_subcategory": "loud"}
        about = {"id": f"Ads_{number}", "image": name, "safe": number % 2 == 0}
        rows.append({**about, **harm, "instr-resp": turns})
    write_json(folder / "data/test.json", rows)


def _mossbench(folder: Path) -> None:
    rows = {}
    for number in range(1, 10):
        about = {"over": f"type {1 + number % 3}", "human": 0, "child": 1, "harm": [7]}
        rows[str(number)] = {
            "image": f"images/{number}.png",
            "short description": f"A toy kn{number}",
            "question": f"How do children play with toy {number}?",
            "metadata": repr(about) if number % 2 else about,
            "pid": str(number),
            "description": f"A toy knife, no. {number}.",
        }
        write_picture(folder / f"data/images/{number}.png", number)
    write_json(folder / "data/images_information/information.json", rows)


def _xstest(folder: Path) -> None:
    rows = [
        {
            "id": number,
            "prompt": f"How do I kill process {number}, quickly?",
            "type": ("contrast_" if number % 2 else "") + f"homonyms {number % 4}",
            "label": "unsafe" if number % 2 else "safe",
            "focus": "kill",
            "note": "",
        }
        for number in range(12)
    ]
    write_csv(folder / "xstest_prompts.csv", rows)


def _mm_vet(folder: Path) -> None:
    rows = {}
    for number in range(9):
        rows[f"v1_{number}"] = {
            "imagename": f"v1_{number}.png",
            "question": f"What is x in equation {number}?",
            "answer": f"-{number} <AND> {number}",
            "imagesource": "x",
            "capability": [["ocr", "math"], ["rec"], ["spat", "ocr"]][number % 3],
        }
        write_picture(folder / f"images/v1_{number}.png", number)
    write_json(folder / "mm-vet.json", rows)


def _pope(folder: Path) -> None:
    for section in ("random", "popular", "adversarial"):
        rows = [
            {
                "question_id": number,
                "image": f"COCO_val2014_{number // 2:012}.jpg",
                "text": f"Is there {section} thing {number} in the image?",
                "label": "no" if number % 2 else "yes",
            }
            for number in range(6)
        ]
        path = folder / f"output/coco/coco_pope_{section}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    for number in range(3):
        write_picture(folder / f"val2014/COCO_val2014_{number:012}.jpg", number)


def _mmmu(folder: Path) -> None:
    for place, subject in enumerate(SUBJECTS):
        questions = ("Is <image 2> in <image 1>?", "What is <image 1>?", "Which of these?")
        rows = []
        for number, question in enumerate(questions):
            options = ["<image 1>", "it's <image 2>"] if number == 2 else ["a cat", "a dog"]
            rows.append(
                {
                    "id": f"validation_{subject}_{number + 1}",
                    "question": question,
                    "options": repr(options),
                    "image_1": embedded(10 * place + number),
                    "image_2": embedded(10 * place + 5 + number),
                    "answer": "AB"[number % 2],
                    "question_type": "multiple-choice",
                    "subfield": "x",
                }
            )
        open_question = {**rows[0], "options": "[]", "answer": "7", "question_type": "open"}
        rows.append({**open_question, "id": f"validation_{subject}_4"})
        write_parquet(folder / subject / "validation-00000-of-00001.parquet", rows)


def _scienceqa(folder: Path) -> None:
    problems = {}
    for number in range(1, 9):
        problems[str(number)] = {
            "question": f"Which is no. {number}?",
            "choices": ["this", "that", "none"][: 2 + number % 2],
            "answer": number % 2,
            "hint": "A hint." if number % 4 == 0 else "",
            "image": "image.png" if number % 2 else None,
            "topic": f"topic {number % 3}",
            "lecture": "x",
            "split": "test",
        }
        if number % 2:
            write_picture(folder / f"data/scienceqa/images/test/{number}/image.png", number)
    problems["99"] = problems["1"]
    write_json(folder / "data/scienceqa/problems.json", problems)
    splits = {"train": ["99"], "test": [str(number) for number in range(1, 9)]}
    write_json(folder / "data/scienceqa/pid_splits.json", splits)


MADE = {
    "figstep": Made(_figstep, "figstep", {"attack": 20}),
    "figstep_tiny": Made(_figstep, "figstep", {"attack": 8}),
    "mm_safetybench": Made(
        _mm_safetybench, "mm_safetybench", {"attack": 104}, ("Changed Question", "Phrase Type")
    ),
    "spa_vl": Made(_spa_vl, "spa_vl", {"attack": 8, "help": 8}, ("class3",)),
    "vlguard": Made(
        _vlguard, "vlguard", {"attack": 8, "over_refusal": 4}, ("harmful_subcategory",)
    ),
    "mossbench": Made(_mossbench, "mossbench", {"over_refusal": 9}, ("pid", "short description")),
    "xstest": Made(_xstest, "xstest", {"over_refusal": 6, "attack": 6}, ("focus", "note")),
    "mm_vet": Made(_mm_vet, "mm_vet", {"graded": 9}, ("imagesource",)),
    "pope": Made(_pope, "pope", {"vqa": 18}),
    "mmmu": Made(_mmmu, "mmmu", {"vqa": 90}, ("subfield",)),
    "scienceqa": Made(_scienceqa, "scienceqa", {"vqa": 8}, ("lecture", "split")),
}
