"""House rules: sizes, direction of imports, what is never imported, configs, commands."""

from __future__ import annotations

import ast
import graphlib
import importlib
import importlib.util
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from vsfa_jax.core import config

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "vsfa_jax"
MODULES = sorted(PACKAGE.rglob("*.py"))
CONFIGS = sorted((ROOT / "configs").glob("*.py"))
MAX_MODULE, MAX_FUNCTION, MAX_KERNEL_BODY = 400, 60, 150
KERNEL_BODIES = {  # up to MAX_KERNEL_BODY lines
    "vsfa_jax/kernels/attention/hopper_forward.py:_forward_body",
    "vsfa_jax/kernels/attention/hopper_backward.py:_queries_body",
    "vsfa_jax/kernels/attention/hopper_backward.py:_keys_body",
    "vsfa_jax/kernels/attention/tpu_forward.py:_kernel",
    "vsfa_jax/kernels/attention/tpu_backward.py:_kernel",
}

# A module imports from its own room and from rooms above it. Modules that stand in no room are
# the entry points and what belongs to them.
ROOMS = (
    ("core",),
    ("kernels",),
    ("data",),
    ("decode",),
    ("models",),
    ("lora", "mesh", "optim", "state", "step", "checkpoint", "seal"),
    ("tinyworld",),
    ("benchmarks",),
    ("judges",),
    ("synth",),
)
FORBIDDEN = {"torch", "tensorflow", "peft"}
LIFTED = {
    "jit", "grad", "value_and_grad", "scan", "vmap", "pmap", "remat", "checkpoint", "custom_vjp",
    "cond", "switch", "while_loop", "fori_loop", "shard_map", "vjp", "jvp", "eval_shape",
    "Optimizer",
}  # fmt: skip
VAGUE_NAMES = {"utils", "util", "helpers", "helper", "common", "misc", "manager", "handler"}


def name_of(path: Path) -> str:
    """The dotted name of a module's file."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


NAMES = {name_of(path) for path in MODULES}


def imports(path: Path) -> Iterator[str]:
    """Dotted names of everything that a module imports, wherever in the file."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: a relative import"
            module = node.module or ""
            for alias in node.names:
                whole = f"{module}.{alias.name}"
                yield whole if whole in NAMES else module


def room(name: str) -> int:
    """The number of a module's room; the entry points come last."""
    part = [*name.split("."), ""][1]
    return next((i for i, parts in enumerate(ROOMS) if part in parts), len(ROOMS))


def functions(path: Path) -> Iterator[tuple[str, int]]:
    """(name, lines) of every function and method."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node.name, (node.end_lineno or node.lineno) - node.lineno + 1


def test_modules_and_functions_are_small() -> None:
    long = []
    for path in MODULES:
        where = str(path.relative_to(ROOT))
        lines = len(path.read_text().splitlines())
        if lines > MAX_MODULE:
            long.append(f"{where}: {lines} lines")
        for name, length in functions(path):
            most = MAX_KERNEL_BODY if f"{where}:{name}" in KERNEL_BODIES else MAX_FUNCTION
            if length > most:
                long.append(f"{where}:{name}: {length} lines")
    assert not long, "\n".join(long)


def test_the_allow_list_names_functions_that_exist() -> None:
    existing = {
        f"{path.relative_to(ROOT)}:{name}" for path in MODULES for name, _ in functions(path)
    }
    assert existing >= KERNEL_BODIES


def test_rooms_import_only_from_rooms_before_them() -> None:
    wrong = [
        f"{name_of(path)} imports {other}"
        for path in MODULES
        for other in imports(path)
        if other.startswith("vsfa_jax.") and room(other) > room(name_of(path))
    ]
    assert not wrong, "\n".join(wrong)


def test_no_import_cycle() -> None:
    graph = {
        name_of(path): {other for other in imports(path) if other in NAMES} - {name_of(path)}
        for path in MODULES
    }
    assert len(list(graphlib.TopologicalSorter(graph).static_order())) >= len(MODULES)


def test_no_torch_and_no_tensorflow_in_the_source() -> None:
    wrong = [
        f"{name_of(path)} imports {other}"
        for path in MODULES
        for other in imports(path)
        if other.split(".")[0] in FORBIDDEN
    ]
    assert not wrong, "\n".join(wrong)


COMMAND = f"""
import sys
import vsfa_jax.train, vsfa_jax.evaluate
from vsfa_jax.core import main as entry

def loaded():
    return sorted({FORBIDDEN!r} & set(sys.modules))

def main(settings, workdir):
    from vsfa_jax import models, tinyworld
    models.initialize(tinyworld.resolve_model(settings.model.path), 0)
    print(loaded())

print(loaded())
entry.run(main)
"""


def test_no_torch_and_no_tensorflow_at_run_time() -> None:
    # both are found by transformers where they are installed, as they are for the tests
    flags = ["--config=configs/tiny.py", "--workdir=unused"]
    done = subprocess.run(
        [sys.executable, "-c", COMMAND, *flags],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split("\n")[:2] == ["[]", "[]"]


def test_no_lifted_transforms() -> None:
    wrong = [
        f"{path.relative_to(ROOT)}:{node.lineno}: nnx.{node.attr}"
        for path in MODULES
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Attribute)
        and isinstance(node.value, ast.Name)
        and node.value.id == "nnx"
        and node.attr in LIFTED
    ]
    assert not wrong, "\n".join(wrong)


def test_no_vague_module_names() -> None:
    vague = [n for n in NAMES if VAGUE_NAMES & set(n.split(".")) or re.search(r"_v\d+$", n)]
    assert not vague


def test_no_broad_except_and_no_unfinished_work() -> None:
    wrong = []
    for path in MODULES:
        text = path.read_text()
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.ExceptHandler):
                caught = "" if node.type is None else ast.unparse(node.type)
                if caught in ("", "Exception", "BaseException"):
                    wrong.append(f"{path.relative_to(ROOT)}:{node.lineno}: except {caught}")
        if re.search(r"TODO|FIXME|XXX|NotImplementedError\(\)", text):
            wrong.append(f"{path.relative_to(ROOT)}: unfinished work")
    assert not wrong, "\n".join(wrong)


def test_no_private_names_of_dependencies() -> None:
    wrong = [
        f"{name_of(path)} imports {other}"
        for path in MODULES
        for other in imports(path)
        if not other.startswith(("vsfa_jax", "__future__"))
        and any(part.startswith("_") for part in other.split("."))
    ]
    assert not wrong, "\n".join(wrong)


def test_modules_have_docstrings_and_functions_type_hints() -> None:
    bare = []
    for path in MODULES:
        tree = ast.parse(path.read_text())
        if tree.body and ast.get_docstring(tree) is None:
            bare.append(f"{path.relative_to(ROOT)} has no docstring")
        for node in ast.walk(tree):
            if not isinstance(node, ast.FunctionDef):
                continue
            given = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
            names = [a.arg for a in given if a.annotation is None and a.arg not in ("self", "cls")]
            names += [] if node.returns or node.name == "__init__" else ["the result"]
            if names:
                bare.append(
                    f"{path.relative_to(ROOT)}:{node.lineno}: {node.name}: no type: {names}"
                )
    assert not bare, "\n".join(bare)


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_every_config_builds(path: Path) -> None:
    module = importlib.import_module(f"configs.{path.stem}")
    settings = config.load(module.get_config())
    assert config.load(config.to_dict(settings)) == settings
    if path.stem != "base":
        assert f"--config=configs/{path.name}" in (module.__doc__ or ""), "opens with its command"


def test_base_documents_every_key() -> None:
    lines = (ROOT / "configs/base.py").read_text().splitlines()
    documented, commented = set(), False
    for line in lines:
        if line.strip().startswith("#"):
            commented = True
        elif found := re.match(r"    (\w+)\.(\w+) = (?!\w+ = ConfigDict)", line):
            section = {"config": "", "evaluation": "eval."}.get(found[1], found[1] + ".")
            if commented:
                documented.add(section + found[2])
        else:
            commented = False
    assert documented == set(config.keys())


def readme_commands() -> list[str]:
    """The `python -m vsfa_jax.*` commands of README's code blocks, continued lines joined."""
    blocks = re.findall(r"```\w*\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    lines = "\n".join(blocks).replace("\\\n", " ").splitlines()
    found = {line.strip() for line in lines if re.match(r"\s*python -m vsfa_jax", line)}
    return sorted(re.split(r"\s#\s", line)[0].strip() for line in found)


@pytest.mark.parametrize("command", readme_commands())
def test_commands_of_the_readme_parse(command: str) -> None:
    _, _, module, *flags = shlex.split(command)
    assert importlib.util.find_spec(module) is not None
    done = subprocess.run(
        [sys.executable, "-m", module, *flags, "--only_check_args"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def test_shell_scripts_of_the_readme_exist() -> None:
    named = set(re.findall(r"bash (\S+\.sh)", (ROOT / "README.md").read_text()))
    assert named >= {"launch/local.sh", "launch/test.sh"}
    assert all((ROOT / script).is_file() for script in named)


def test_no_test_folder_shadows_a_package() -> None:
    # transformers probes for a package `kernels`; tests/ is on the import path
    assert not (ROOT / "tests/kernels").exists()
