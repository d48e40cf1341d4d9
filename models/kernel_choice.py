"""Which way of computing attention a program takes: a table of platforms and shapes.

`choose` runs while a program is traced. It must know for which platform the program is compiled, which need not be that
of this machine, and how many devices share it: `compiled_for` says so. Elsewhere it is jax's default backend.
"""

from collections.abc import Callable, Mapping
from contextlib import ContextDecorator
from contextvars import ContextVar, Token
from functools import cache, partial
from typing import Literal, NamedTuple, TypeVar

import jax
import jax.numpy as jnp

from errors import UserError
from models.masks import Mask

# auto: the first of WAYS that can compute the call and is worth it. plain: equation 1 as it is written,
# anywhere. blockwise: the same in blocks of queries, anywhere. cudnn: NVIDIA's kernel. splash: jax's for TPUs.
# xla: plain, as records of older versions call it.
Kernel = Literal["auto", "plain", "blockwise", "cudnn", "splash", "xla"]
Path = Literal["plain", "blockwise", "cudnn", "splash"]
F = TypeVar("F", bound=Callable[..., object])

UNCOMPILED = ""  # the platform of a program that is only counted


class Case(NamedTuple):
    """What is known of a call of attention while it is traced.

    Attributes:
      batch, queries, keys, heads, head_dim, value_dim: sizes of the arrays.
      dtype: of queries, keys and values.
      causal: whether the mask is causal, alone or beside another.
      masked: whether there is another mask.
      mask_of_keys: whether that says the same to every head and to every query of a segment.
      bias: whether scores have a bias; every bias here is learned.
      dropout: the rate.
      cap: of the scores; 0 for none.
    """

    batch: int
    queries: int
    keys: int
    heads: int
    head_dim: int
    value_dim: int
    dtype: str = "float32"
    causal: bool = False
    masked: bool = False
    mask_of_keys: bool = True
    bias: bool = False
    dropout: float = 0.0
    cap: float = 0.0

    @classmethod
    def of(
        cls,
        query: jax.Array,
        key: jax.Array,
        value: jax.Array,
        mask: Mask,
        bias: jax.Array | None,
        dropout: float,
        cap: float,
    ) -> "Case":
        """The case of these arrays, queries (B, T, H, K), keys (B, S, H, K) and values (B, S, H, V)."""
        batch, queries, heads, head_dim = query.shape
        return cls(
            *(batch, queries, key.shape[1], heads, head_dim, value.shape[3]),
            dtype=jnp.dtype(query.dtype).name,
            causal=mask.causal,
            masked=mask.more,
            mask_of_keys=mask.of_keys,
            bias=bias is not None,
            dropout=dropout,
            cap=cap,
        )

    def __str__(self) -> str:
        parts = [f"{self.queries:,} x {self.keys:,} tokens", f"head size {self.head_dim}", self.dtype]
        parts += ["causal"] * self.causal + ["masked"] * self.masked + ["relative positions"] * self.bias
        parts += [f"soft cap {self.cap:g}"] * (self.cap > 0)
        return ", ".join(parts + [f"dropout {self.dropout:g}"] * (self.dropout > 0))


AMPERE = 8.0  # compute capability of the oldest GPUs that cuDNN's kernel runs on
LONG = 2048  # keys: so many or more, and accelerators should avoid what grows with the square of the length


def lacks_cudnn(case: Case, platform: str, devices: int) -> str:
    """Why cuDNN's kernel cannot compute this; "" if it can."""
    del devices  # jax splits it over batch and heads
    if platform != "cuda":
        return f"it runs on NVIDIA's GPUs, and this is for {platform}"
    if case.dtype not in ("bfloat16", "float16"):
        return f"it computes in bfloat16 and float16, not {case.dtype}"
    if case.head_dim % 8 or case.head_dim > 128 or case.value_dim != case.head_dim:
        return "all heads must have one size, at most 128, that divides by 8"
    if case.dropout:
        return "it has no dropout of attention weights"
    if case.cap:
        return "it has no soft cap of scores"
    if case.bias and case.batch > 1:
        return "it has a gradient of relative positions for a batch of one only"
    if case.masked and case.keys >= LONG:
        return f"it needs the whole mask of each head, which from {LONG:,} keys on is more than attention itself"
    return ""


def lacks_splash(case: Case, platform: str, devices: int) -> str:
    """Why splash attention cannot compute this; "" if it can."""
    if platform != "tpu":
        return f"it runs on TPUs, and this is for {platform}"
    if devices > 1:
        return "the compiler cannot split it over the devices of a mesh"
    if case.dropout:
        return "it has no dropout of attention weights"
    if case.bias:
        return "it has no relative positions"
    if case.masked and not case.mask_of_keys:
        return "of masks it has causal ones, padding and segments"
    return ""


def lacks_nothing(case: Case, platform: str, devices: int) -> str:
    """Every case can be computed."""
    del case, platform, devices
    return ""


class Way(NamedTuple):
    """A way of computing attention.

    Attributes:
      lacks: (case, platform, devices) -> why it cannot compute that; "" if it can.
      from_length: the fewest keys that "auto" takes it for, by platform, as measured.
    """

    lacks: Callable[[Case, str, int], str]
    from_length: dict[str, int]


WAYS: dict[Path, Way] = {  # the first that can compute a case, and is worth it, is taken
    "cudnn": Way(lacks_cudnn, {"cuda": 0}),
    "splash": Way(lacks_splash, {"tpu": 1024}),
    "blockwise": Way(lacks_nothing, {"cpu": 1024, "cuda": LONG, "tpu": LONG}),
    "plain": Way(lacks_nothing, {"cpu": 0, "cuda": 0, "tpu": 0}),
}


NOTHING_ABSENT: Mapping[Path, str] = {}


@cache
def absent_here() -> Mapping[Path, str]:
    """What this machine lacks to compile for NVIDIA's GPUs, or its own GPUs to run."""
    x = jax.ShapeDtypeStruct((1, 8, 1, 8), jnp.bfloat16)
    try:
        jax.eval_shape(partial(jax.nn.dot_product_attention, implementation="cudnn"), x, x, x)
    except RuntimeError as error:
        return {"cudnn": " ".join(str(error).split()).rstrip(".")}
    capabilities = [float(gpu.compute_capability) for gpu in jax.local_devices() if gpu.platform == "gpu"]
    if (least := min(capabilities, default=AMPERE)) < AMPERE:
        return {"cudnn": f"it needs a GPU of compute capability {AMPERE}, and this one has {least}"}
    return {}


class Choice(NamedTuple):
    """The way that a call takes, and the reason."""

    path: Path
    reason: str


def choice(
    kernel: Kernel, case: Case, platform: str, devices: int = 1, absent: Mapping[Path, str] = NOTHING_ABSENT
) -> Choice:
    """The way that a call takes.

    Args:
      kernel: config.model.kernel.
      platform, devices: see compiled_for.
      absent: ways that this machine lacks, each with the reason.

    Raises:
      UserError: a kernel that was asked for and cannot compute the call.
    """
    if platform == UNCOMPILED:
        return Choice("plain", "it is only counted")
    if kernel != "auto":
        path: Path = "plain" if kernel == "xla" else kernel
        if lack := WAYS[path].lacks(case, platform, devices) or absent.get(path):
            raise UserError(
                f"config.model.kernel={kernel} cannot compute attention of {case}: {lack}. Take config.model.kernel="
                "auto."
            )
        return Choice(path, f"config.model.kernel={kernel}")
    passed_over: list[str] = []
    for path, way in WAYS.items():
        least = way.from_length.get(platform, 0 if path == "plain" else None)
        if least is None:
            continue
        if case.keys < least:
            passed_over.append(f"{path} from {least:,} keys on")
        elif lack := way.lacks(case, platform, devices) or absent.get(path):
            passed_over.append(f"not {path}: {lack}")
        else:
            break
    return Choice(path, "; ".join(passed_over) or f"the quickest on {platform}")


class compiled_for(ContextDecorator):
    """What is traced within is compiled for a platform.

    Attributes:
      platform: cpu, cuda (or gpu) or tpu; UNCOMPILED if the program is only counted.
      devices: that the compiler splits the program over; 1 where each device has its own.
      counted: whether it is only counted: then attention is plain, whatever is chosen.
      chosen: what was chosen within, by case.
    """

    def __init__(self, platform: str, devices: int = 1, counted: bool = False) -> None:
        self.platform, self.devices = "cuda" if platform == "gpu" else platform, devices
        self.counted = counted
        self.chosen: dict[Case, Choice] = {}
        self._outer: list[Token[compiled_for | None]] = []

    def __call__(self, function: F) -> F:
        """The function, traced within, by its own name, which profiles and the compiler's messages show."""
        within = super().__call__(function)
        within.__name__ = getattr(function, "func", function).__name__  # of a partial, what it calls
        return within

    def __enter__(self) -> "compiled_for":
        self._outer.append(_target.set(self))
        return self

    def __exit__(self, *error: object) -> None:
        _target.reset(self._outer.pop())

    def describe(self) -> list[str]:
        """A line for each choice: the cases, the way and the reason."""
        cases: dict[Choice, list[Case]] = {}
        for case, made in self.chosen.items():
            cases.setdefault(made, []).append(case)
        return [
            f"Attention of {of[0]}{f' and {len(of) - 1} other shapes' * (len(of) > 1)}: {path} ({reason})."
            for (path, reason), of in cases.items()
        ]


_target: ContextVar[compiled_for | None] = ContextVar("target", default=None)


def choose(kernel: Kernel, case: Case) -> Path:
    """The way that a call takes in the program that is being traced.

    Raises:
      UserError: see `choice`.
    """
    target = _target.get()
    if target is None:
        with compiled_for(jax.default_backend()):
            return choose(kernel, case)
    absent = absent_here() if target.platform == "cuda" else NOTHING_ABSENT
    target.chosen[case] = choice(kernel, case, target.platform, target.devices, absent)
    return "plain" if target.counted else target.chosen[case].path
