"""Which optimisers there are, by their names in optax and optax.contrib, and the arguments that each has of its own."""

import functools
import inspect
import typing
from collections.abc import Callable, Collection
from typing import Annotated, Literal

import jax
import optax
import optax.contrib
from annotated_types import Ge
from pydantic import NonNegativeFloat, PositiveFloat

import lookup
from errors import UserError, nearest
from lookup import Hint, Key, Rate, Steps
from models.paths import is_layer, layer
from training.trees import PyTree, by_name

Factory = Callable[..., optax.GradientTransformation]
DType = Literal["float32", "bfloat16", "float16"]


# What optax has and a step cannot give, or only at a price that is not an optimiser's.
REFUSED = {
    "lbfgs": "its line search evaluates the loss several times a step",
    "sophia": "it needs products with the loss's Hessian",
    "dpsgd": "it needs the gradient of each example",
    "schedule_free": "it wraps another optimiser: take schedule_free_adamw or schedule_free_sgd",
    "noisy_sgd": "its state holds a key of randomness, which no checkpoint of ours can",
    "optimistic_adam": "it takes no schedule of the learning rate: take optimistic_adam_v2",
    "rprop": "it takes no schedule of the learning rate",
    "sm3": "it takes no schedule of the learning rate",
    "mechanize": "it wraps another optimiser",
}


def names() -> list[str]:
    """The names that config.optim.name may have."""
    return sorted({*in_optax(), *CORES, "sam"})


def find(name: str) -> Factory:
    """The function whose arguments are an optimiser's own keys.

    Raises:
      UserError: an unknown name, or an optimiser that cannot be used.
    """
    if name in REFUSED:
        raise UserError(f"config.optim.name={name!r} is not supported: {REFUSED[name]}.")
    if name == "sam":
        return sam
    if name not in names():
        raise UserError(f"config.optim.name={name!r} is not an optimiser: {nearest(name, names())}")
    return CORES.get(name) or in_optax()[name]


def _adamw(
    b1: Rate = 0.9,
    b2: Rate = 0.999,
    eps: PositiveFloat = 1e-8,
    eps_root: NonNegativeFloat = 0.0,
    mu_dtype: DType | None = None,
    nesterov: bool = False,
    multiply_by_parameter_scale: bool = False,
) -> optax.GradientTransformation:
    """Adam without its learning rate and decay (1412.6980, 1711.05101).

    Args:
      b1: decay of the first moment.
      b2: decay of the second moment.
      eps: added to the square root of the second moment.
      eps_root: added within the square root.
      mu_dtype: of the first moment; None for the parameters'.
      nesterov: whether the momentum is Nesterov's.
      multiply_by_parameter_scale: whether the learning rate is relative to a parameter's root mean square, as
        Adafactor's may be and T5 needs (2309.02373).
    """
    adam = optax.scale_by_adam(b1, b2, eps, eps_root, mu_dtype, nesterov=nesterov)
    return optax.chain(adam, optax.scale_by_param_block_rms()) if multiply_by_parameter_scale else adam


def _sgd(
    momentum: Rate = 0.9, nesterov: bool = False, accumulator_dtype: DType | None = None
) -> optax.GradientTransformation:
    """Stochastic gradient descent without its learning rate.

    Args:
      momentum: decay of the sum of gradients; 0 for none.
      nesterov: whether the momentum is Nesterov's.
      accumulator_dtype: of the sum of gradients; None for the parameters'.
    """
    return optax.trace(momentum, nesterov, accumulator_dtype) if momentum else optax.identity()


def _adafactor(
    factored: bool = True,
    decay_rate: Rate = 0.8,
    decay_offset: Steps = 0,
    min_dim_size_to_factor: Annotated[int, Ge(1)] = 128,
    eps: PositiveFloat = 1e-30,
    clipping_threshold: Annotated[float, Ge(1)] = 1.0,
    multiply_by_parameter_scale: bool = False,
) -> optax.GradientTransformation:
    """Adafactor (1804.04235) without its learning rate, momentum and relative steps.

    Args:
      factored: whether the second moments of matrices are kept as the sums of their rows and columns.
      decay_rate: c of the second moment's decay 1 - t^-c.
      decay_offset: the step that t is counted from.
      min_dim_size_to_factor: the least size of both dimensions of a matrix that is factored.
      eps: added to the squared gradient.
      clipping_threshold: the largest root mean square of a parameter's update.
      multiply_by_parameter_scale: whether the learning rate is relative to a parameter's root mean square, as T5 needs,
        whose embeddings begin ten times as large as its matrices.
    """
    factors = optax.scale_by_factored_rms(factored, decay_rate, decay_offset, min_dim_size_to_factor, eps)
    scale = (optax.scale_by_param_block_rms(),) if multiply_by_parameter_scale else ()
    return optax.chain(factors, optax.clip_by_block_rms(clipping_threshold), *scale)


def _muon(
    ns_coeffs: tuple[float, float, float] | Literal["standard", "dion"] = "standard",
    ns_steps: Annotated[int, Ge(1)] = 5,
    beta: Rate = 0.95,
    eps: PositiveFloat = 1e-8,
    mu_dtype: DType | None = None,
    nesterov: bool = True,
    adaptive: bool = False,
    preconditioning: Literal["frobenius", "spectral", "aol", "schatten"] = "frobenius",
    adam_b1: Rate = 0.9,
    adam_b2: Rate = 0.999,
    adam_eps_root: NonNegativeFloat = 0.0,
    consistent_rms: PositiveFloat | None = 0.2,
) -> optax.GradientTransformation:
    """Muon for the matrices of the layers, Adam for everything else, without their common learning rate and decay.

    Muon replaces the momentum M = UΣVᵀ of a matrix by about UVᵀ (github.com/KellerJordan/Muon).

    Args:
      ns_coeffs: coefficients of the Newton-Schulz iteration, or the name of a set of them.
      ns_steps: its iterations.
      beta: decay of the momentum.
      eps: against division by zero, of Adam too.
      mu_dtype: of the momenta; None for the parameters'.
      nesterov: whether the momentum is Nesterov's.
      adaptive: whether updates are scaled by their dual norm (2409.20325).
      preconditioning: how a matrix is scaled before the iteration.
      adam_b1, adam_b2, adam_eps_root: of Adam.
      consistent_rms: root mean square of a matrix's update, so that AdamW's learning rates serve (2502.16982, section
        2.2); None scales by sqrt(max(1, fan_out / fan_in)).
    """
    return optax.contrib.muon(
        -1.0,  # neither scaled nor turned around: the learning rate comes after the decay, as for the others
        ns_coeffs,
        ns_steps,
        beta,
        eps,
        mu_dtype=mu_dtype,
        nesterov=nesterov,
        adaptive=adaptive,
        preconditioning=preconditioning,
        adam_b1=adam_b1,
        adam_b2=adam_b2,
        adam_eps_root=adam_eps_root,
        muon_weight_dimension_numbers=matrices,
        consistent_rms=consistent_rms,
    )


def matrices(params: PyTree) -> PyTree:
    """Which parameters are matrices to Muon, and which of their axes are input and output; None for the others.

    Matrices are the kernels of the layers, or of the whole model but its head where it has no layers. Embeddings, heads
    and vectors are Adam's. Query, key and value (D, H, K) are matrices from D to H·K. An attention's `out` (H, K, D)
    and a convolution (height, width, in, out) are matrices to their last axis. Each of the layers that a scan stacks
    has matrices of its own.
    """
    leaves = by_name(params)
    in_layers = any(_in_layer(name) for name in leaves)

    def of(name: str, x: jax.Array) -> optax.contrib.MuonDimensionNumbers | None:
        parts = name.split("/")
        found = layer(name)
        first = 1 if found and found.number is None else 0
        axes = tuple(range(first, x.ndim))
        hidden = _in_layer(name) if in_layers else not any(p in ("head", "embedding") for p in parts)
        if parts[-1] != "kernel" or len(axes) < 2 or not hidden:
            return None
        split = 1 if len(axes) == 3 and parts[-2] != "out" else len(axes) - 1
        return optax.contrib.MuonDimensionNumbers(axes[:split], axes[split:])

    return jax.tree.unflatten(jax.tree.structure(params), [of(*leaf) for leaf in leaves.items()])


def _in_layer(name: str) -> bool:
    return any(is_layer(part) for part in name.split("/"))


def sam(
    whole: optax.GradientTransformation,
    *,
    optimizer: str = "sgd",
    rho: PositiveFloat = 0.05,
    sync_period: Annotated[int, Ge(2)] = 2,
) -> optax.GradientTransformationExtraArgs:
    """Sharpness-aware minimisation: another optimiser with the gradient at w + rho g / |g| (2010.01412, equation 2).

    A step computes the gradient `sync_period` times.

    Args:
      optimizer: the other optimiser's name, whose keys are keys too.
      rho: how far the weights are moved for the second gradient.
      sync_period: gradients a step; all but the last move the weights.
    """
    del optimizer
    ascent = optax.stateless(lambda grads, _: optax.tree.scale(-rho / (optax.tree.norm(grads) + 1e-12), grads))
    found = optax.contrib.sam(whole, ascent, sync_period, opaque_mode=True)

    def update(
        grads: PyTree, state: PyTree, params: PyTree | None = None, **extra: Callable[[PyTree, int], PyTree]
    ) -> tuple[PyTree, PyTree]:
        return found.update(grads, state, params, grad_fn=extra["grad_fn"])

    return optax.GradientTransformationExtraArgs(found.init, update)


def _schedule_free_adamw(b2: Rate = 0.999, eps: PositiveFloat = 1e-8) -> optax.GradientTransformation:
    """AdamW without momentum, which the mean of schedule_free replaces."""
    return optax.scale_by_rms(decay=b2, eps=eps, eps_in_sqrt=False, bias_correction=True)


# Without learning rate: what `_chain` puts between clipping and decay.
CORES: dict[str, Factory] = {"adamw": _adamw, "sgd": _sgd, "adafactor": _adafactor, "muon": _muon}
SCHEDULE_FREE: dict[str, Factory] = {
    "schedule_free_adamw": _schedule_free_adamw,
    "schedule_free_sgd": optax.identity,
}
RATES = {"polyak_sgd": "scaling"}  # where the learning rate goes by another name
RENAMED = {"rmsprop": {"decay_rate": "decay"}}  # keys that would be mistaken for those of every optimiser
KEPT_OUT = {
    "learning_rate",
    "scaling",
    "mask",
    "key",
    "seed",
    "max_learning_rate",
    "verbose",
    "print_win_rate_every_n_steps",
}


@functools.cache
def in_optax() -> dict[str, Factory]:
    """Every optimiser of optax and optax.contrib that takes a learning rate, by name."""
    found: dict[str, Factory] = {}
    for name, function in [*inspect.getmembers(optax.contrib), *inspect.getmembers(optax)]:
        if name.startswith(("_", "scale_by_")) or name in REFUSED or not inspect.isfunction(function):
            continue
        if RATES.get(name, "learning_rate") in inspect.signature(function).parameters:
            found[name] = function
    return found


def sam_keys() -> dict[str, Key]:
    """The keys of sam itself."""
    return lookup.keys(sam, without=("whole",))


def own_keys(name: str, optimizer: str, common: Collection[str]) -> dict[str, Key]:
    """The keys that an optimiser has of its own.

    Args:
      optimizer: whose keys "sam" has too.
      common: names of keys of every optimiser.
    """
    if name == "sam":
        if optimizer == "sam" or optimizer.startswith("schedule_free"):
            raise UserError(f"config.optim.optimizer={optimizer!r} cannot be used within sam: take sgd or adamw.")
        return own_keys(optimizer, "sgd", common) | sam_keys()
    function = find(name)
    if name in CORES:
        return lookup.keys(function)
    found = {}
    for argument, parameter in inspect.signature(function).parameters.items():
        hint = _hint(argument, parameter.annotation, parameter.default)
        key = next((ours for ours, theirs in RENAMED.get(name, {}).items() if theirs == argument), argument)
        if hint and key not in {*common, *KEPT_OUT}:
            found[key] = Key(hint, parameter.default)
    return found


def _hint(name: str, hint: Hint, default: object) -> Hint:
    """The type of an argument of optax's, in terms of a config; None for one that no config can give.

    optax says `ArrayLike` of nearly everything, so that the default has more to tell.
    """
    if name.endswith(("mask", "dimension_numbers", "_fn")):
        return None
    if name.endswith("dtype"):
        return DType | None
    if typing.get_origin(hint) is Literal:
        return hint
    if isinstance(default, (bool, int, float, str)):
        return float if hint is float else type(default)
    if isinstance(default, tuple):
        return tuple[float | str, ...]
    kinds = set(typing.get_args(hint))
    return float | None if float in kinds else int | None if int in kinds else None
