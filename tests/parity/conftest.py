"""The same weights in other people's code and in ours: `make test-parity`. What that code needs is in
requirements-parity.txt; Google's and DiT's is looked for where VISION_TRANSFORMER, BIG_VISION, BIG_TRANSFER and DIT
say that it is checked out."""

import json
import os
from collections.abc import Callable, Iterator
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from experiment import record
from tests.parity.compare import TOLERANCE

ROOT = Path(__file__).parents[2]


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--record", action="store_true", help="Write what is measured to results/parity.json")


@pytest.fixture(scope="session")
def torch() -> Iterator[Any]:
    """PyTorch, with which timm and transformers can be imported."""
    torch = pytest.importorskip("torch", reason="PyTorch is not installed: make test-parity")
    library = torch.library.Library("torchvision", "FRAGMENT")
    try:
        import torchvision  # noqa: F401
    except ImportError:
        pytest.skip("torchvision is not installed: make test-parity")
    except RuntimeError:
        # Where its wheel does not go with PyTorch's, such as on a machine without CUDA, it lacks two operators whose
        # names are all that timm and transformers need.
        for name in ("nms", "qnms"):
            library.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    yield torch
    del library  # what it defines lasts as long as it


@pytest.fixture(scope="session")
def checkout() -> Callable[[str, str], Path]:
    """checkout(variable, repository): the folder that an environment variable names."""

    def find(variable: str, repository: str) -> Path:
        if not os.environ.get(variable):
            pytest.skip(f"{variable} does not say where github.com/{repository} is checked out")
        return Path(os.environ[variable])

    return find


@pytest.fixture(scope="session")
def measured(request: pytest.FixtureRequest) -> Iterator[list[dict[str, Any]]]:
    """The rows of the record, which is written where it is asked for and all went well."""
    wanted = request.config.getoption("--record")
    about = record.clean_provenance("torch", "timm", "transformers") if wanted else {}
    rows: list[dict[str, Any]] = []
    yield rows
    if wanted and not request.session.testsfailed:
        result = {
            "command": "VISION_TRANSFORMER=... BIG_VISION=... BIG_TRANSFER=... DIT=... make test-parity",
            "expected": f"outputs of random weights at most {TOLERANCE} apart in float32; both round trips bit for bit",
            "date": date.today().isoformat(),
            **about,
            "rows": rows,
        }
        (ROOT / "results" / "parity.json").write_text(json.dumps(result, indent=2) + "\n")
