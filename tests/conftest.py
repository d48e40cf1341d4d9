"""Eight virtual CPU devices, and small runs that the tests share."""

import gc
import os
import tempfile
from collections.abc import Callable
from functools import cache
from importlib.metadata import version
from pathlib import Path

CACHE = Path(__file__).parents[1] / ".cache"

gc.set_threshold(50_000, 10, 10)  # as commands.begin
os.environ["JAX_PLATFORMS"] = "cpu"
os.environ["NPROC"] = "16"  # with fewer threads than devices, steps that wait for one another can deadlock
# Compiles faster; later versions may not have them, and end at a flag that they do not know.
QUICK = (
    "--xla_cpu_use_fusion_emitters=false --xla_cpu_opt_preset=CPU_OPT_PRESET_FAST_COMPILE "
    "--xla_cpu_parallel_codegen_split_count=1"  # a program is compiled as one: what many threads add is work
    if version("jaxlib").startswith("0.10.")
    else ""
)
os.environ["XLA_FLAGS"] = f"--xla_force_host_platform_device_count=8 {QUICK}"
os.environ["JAX_DISABLE_MOST_OPTIMIZATIONS"] = "1"  # programs that run for milliseconds: compiling is the cost
os.environ["TFDS_DATA_DIR"] = str(CACHE / "tfds")
os.environ["JAX_COMPILATION_CACHE_DIR"] = str(CACHE / "xla")
os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0.2"
os.environ["TF_USE_LEGACY_KERAS"] = "1"
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "2"
os.environ["TF_ENABLE_ONEDNN_OPTS"] = "0"

import pytest  # noqa: E402
from ml_collections import ConfigDict  # noqa: E402

from experiment import config as configs  # noqa: E402

TINY = {
    "steps": 6,
    "model.width": 16,
    "model.depth": 2,
    "model.mlp_dim": 32,
    "model.heads": 2,
    "model.patch": 4,
    "data.batch_size": 32,
    "data.eval_batch_size": 96,
    "optim.warmup_steps": 2,
    "evaluation.every_steps": 3,
    "checkpoint.every_steps": 2,
    "log.every_steps": 2,
    "log.peak_teraflops": 1.0,
    "parallel.mode": "mesh",
    "evaluation.page": False,  # which takes longer than the training
}


# Files that take a minute or more: first, so that no worker is left with one of them at the end.
LONG = ("test_families", "test_train", "test_hosts", "test_translation", "test_init_from", "test_study", "test_step")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Puts the long files first."""
    items.sort(key=lambda item: LONG.index(item.path.stem) if item.path.stem in LONG else len(LONG))


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    """Gives all processes one temporary folder, removed at the end; prepares the digits before they are needed."""
    if hasattr(config, "workerinput"):
        return
    if not config.option.basetemp:
        folder = tempfile.TemporaryDirectory(prefix="attend-tests-", ignore_cleanup_errors=True)
        config.add_cleanup(folder.cleanup)
        config.option.basetemp = Path(folder.name, "pytest")
        os.environ["TMPDIR"], tempfile.tempdir = folder.name, None  # of libraries too
    if not (CACHE / "tfds" / "digits").exists():
        from data.sources import tfds

        tfds.Source("digits", "train")


def tiny(**changes: object) -> ConfigDict:
    """The main job with a model of two small layers and six steps; `changes` as {"optim.learning_rate": 1e-2}."""
    return configs.load("configs/vit_digits.py", TINY | changes)


@pytest.fixture(scope="session")
def untrained(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """untrained("gpt") -> the workdir of a run of that family, which nobody changes: see tests/untrained.py."""
    from tests.untrained import saved

    folder = tmp_path_factory.mktemp("untrained")
    return cache(lambda family: saved(family, folder / family))


@pytest.fixture
def workdir(tmp_path: Path) -> Path:
    return tmp_path / "run"
