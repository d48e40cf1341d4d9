"""What the names of PyTorch's models have in common, and the config.json beside them."""

from collections.abc import Mapping, Sequence

from errors import UserError
from weights.changes import DENSE, SAME
from weights.tables import Change, Json, Row

# Ours and theirs of a BatchNorm whose statistics stay.
STATISTICS = {"scale": "weight", "bias": "bias", "mean": "running_mean", "variance": "running_var"}


def linear(ours: str, theirs: str, change: Change = DENSE, bias: Change = SAME) -> tuple[Row, Row]:
    """The rows of a layer with a matrix and a bias."""
    return Row(f"{ours}/kernel", f"{theirs}.weight", change), Row(f"{ours}/bias", f"{theirs}.bias", bias)


def norm(ours: str, theirs: str) -> tuple[Row, Row]:
    """The rows of a norm."""
    return Row(f"{ours}/scale", f"{theirs}.weight", SAME), Row(f"{ours}/bias", f"{theirs}.bias", SAME)


def require(config: Json, always: Json) -> None:
    """Checks keys that can be only one thing. A key that is missing is that.

    Raises:
      UserError: a key is something else.
    """
    for key, value in always.items():
        if config.get(key, value) != value:
            raise UserError(f"config.json says {key}={config[key]}, and only {value} can be read.")


def class_names(config: Json) -> tuple[str, ...]:
    """The names of the classes in a config.json; () where there are none."""
    labels: Mapping[str, object] = config.get("id2label", {})
    return tuple(str(labels[str(i)]) for i in range(len(labels)))


def labels(names: Sequence[str]) -> Json:
    """The keys of a config.json that say the names of the classes."""
    return {
        "id2label": {str(i): name for i, name in enumerate(names)},
        "label2id": {name: i for i, name in enumerate(names)},
    }
