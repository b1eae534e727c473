"""Spoils made-up sets for a while: files that are cut, gone, or say something else."""

from __future__ import annotations

import collections
import csv
import io
import json

import pyarrow.parquet
from benchmark_makers import picture, write_parquet

from vsfa_jax import benchmarks

IMAGES = (".png", ".jpg")
FEW = 3  # files of one sort that a test goes through, where a set has more


def load(name, root, per_kind=0, seed=0):
    return benchmarks.load([name], per_kind=per_kind, seed=seed, root=root)


def some_files(name, folder):
    """A few of the files of each sort that the benchmark reads."""
    by_sort = collections.defaultdict(list)
    for path in sorted(folder.rglob("*")):
        tiny = "Tiny" in str(path)
        if path.is_file() and (not name.startswith("figstep") or tiny == name.endswith("tiny")):
            by_sort[path.suffix].append(path)
    return [path for paths in by_sort.values() for path in paths[:FEW]]


class changed:
    """A file with other bytes, or none, for a while."""

    def __init__(self, path, data):
        self.path, self.data, self.before = path, data, path.read_bytes()

    def __enter__(self):
        if self.data is None:
            self.path.unlink()
        else:
            self.path.write_bytes(self.data)

    def __exit__(self, *about):
        self.path.write_bytes(self.before)


def first_rows(path):
    """(fields of the first row, a function from other fields to the file's bytes)."""
    if path.suffix == ".parquet":
        rows = pyarrow.parquet.read_table(path).to_pylist()

        def written(fields):
            kept = [{k: v for k, v in row.items() if k in fields} for row in rows[1:]]
            write_parquet(path.with_suffix(".other"), [fields, *kept])
            data = path.with_suffix(".other").read_bytes()
            path.with_suffix(".other").unlink()
            return data

        return rows[0], written
    text = path.read_text()
    if path.suffix == ".csv":
        rows = list(csv.DictReader(io.StringIO(text)))

        def written(fields):
            file = io.StringIO()
            writer = csv.DictWriter(file, fields, extrasaction="ignore")
            writer.writeheader()
            writer.writerows([fields, *rows[1:]])
            return file.getvalue().encode()

        return rows[0], written
    if "pope" in path.name:
        first, *others = text.splitlines()
        return json.loads(first), lambda fields: "\n".join([json.dumps(fields), *others]).encode()
    whole = json.loads(text)
    key = next(iter(whole)) if isinstance(whole, dict) else 0

    def written(fields):
        other = {**whole, key: fields} if isinstance(whole, dict) else [fields, *whole[1:]]
        return json.dumps(other).encode()

    return whole[key], written


def tables(name, folder):
    files = [path for path in some_files(name, folder) if path.suffix not in IMAGES]
    return [path for path in files if path.name != "pid_splits.json"][:1]


def other_value(value):
    if isinstance(value, dict) and "bytes" in value:
        return {**value, "bytes": picture(999)}
    return f"{value}0" if isinstance(value, str) else value + 1 if isinstance(value, int) else [1]
