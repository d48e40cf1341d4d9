"""Optimisers, by their names in optax and optax.contrib, and the schedule of their learning rate."""

import functools
import inspect
import typing
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from typing import Annotated, Any, Literal

import jax
import jax.numpy as jnp
import optax
import optax.contrib
from annotated_types import Ge, Interval
from pydantic import NonNegativeFloat, PositiveFloat

import lookup
from errors import UserError, nearest
from lookup import Key, Pattern, Rate, Steps
from models.paths import is_layer, layer
from training import layerwise
from training.trees import PyTree, by_name

Schedule = Callable[[jax.typing.ArrayLike], jax.Array]
Mask = Callable[[PyTree], PyTree]
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


@dataclass(frozen=True)
class Settings:
    """config.optim: the keys of every optimiser. The optimiser's own arguments stand beside them, by optax's names.

    Attributes:
      name: of optax or optax.contrib: adamw, sgd, adafactor, lion, muon, schedule_free_adamw, sam, ... Optimisers that
        estimate their own rate (prodigy, dog, dowg, cocob, dadapt_adamw, momo) take learning_rate=1.
      learning_rate: the highest, reached after `warmup_steps` of linear growth from 0.
      schedule: what follows the warm-up: cosine or linear to `end_learning_rate` at the last step; rsqrt, falling as
        1 / sqrt(step) (1706.03762, equation 3); constant.
      warmup_steps: steps of linear growth.
      end_learning_rate: of cosine and linear.
      clip_norm: the gradient's largest global norm; 0 does not clip.
      weight_decay: decoupled, times the learning rate (1711.05101). Optimisers of optax that have an argument of this
        name and a mask decay in their own way. 0 for none.
      decay: patterns (whole match) of the parameter paths that decay, "encoder/block_00/mlp/expand/kernel".
      layer_decay: the learning rate of each layer as a share of that of the layer above (training/layerwise.py).
    """

    name: str = "adamw"
    learning_rate: NonNegativeFloat = 1e-3
    schedule: Literal["cosine", "linear", "rsqrt", "constant"] = "cosine"
    warmup_steps: Steps = 0
    end_learning_rate: NonNegativeFloat = 0.0
    clip_norm: NonNegativeFloat = 1.0
    weight_decay: NonNegativeFloat = 0.0
    decay: tuple[Pattern, ...] = (".*/kernel",)
    layer_decay: Annotated[float, Interval(gt=0, le=1)] = 1.0


def names() -> list[str]:
    """The names that config.optim.name may have."""
    return sorted({*_optax(), *CORES, "sam"})


def keys(name: str, optimizer: str = "sgd") -> dict[str, Key]:
    """All keys of config.optim for an optimiser: those of every optimiser and its own.

    Args:
      optimizer: whose keys "sam" has too.

    Raises:
      UserError: an unknown name.
    """
    return lookup.keys(Settings) | _own_keys(name, optimizer)


def meanings(name: str, optimizer: str = "sgd") -> dict[str, str]:
    """What each of the `keys` means; of optax's own, in the words of its documentation."""
    found = lookup.meanings(optimizer_of(name)) | (meanings(optimizer) if name == "sam" else {})
    found |= lookup.meanings(Settings)
    return {key: text for key, text in found.items() if key in keys(name, optimizer)}


def optimizer_of(name: str) -> Factory:
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
    return CORES.get(name) or _optax()[name]


def make(
    *, total_steps: int, frozen: tuple[str, ...] = (), **section: object
) -> tuple[optax.GradientTransformationExtraArgs, Schedule]:
    """The optimiser of config.optim and its learning rate by step, counted from 0.

    Its `update` may be given value=, the loss, and grad_fn=, the gradient at other parameters: those that need them use
    them.

    Args:
      total_steps: of the run, for the schedule.
      frozen: patterns of parameter paths that are not trained and have no optimiser state.
      **section: the keys of `Settings` and the optimiser's own.

    Raises:
      UserError: an unknown optimiser or key, or a value of the wrong type or out of range.
    """
    name, optimizer = str(section.get("name", Settings.name)), str(section.get("optimizer", "sgd"))
    checked = lookup.call("config.optim", _reader(name, optimizer), section)
    common = {field.name for field in fields(Settings)}
    settings = Settings(**{key: value for key, value in checked.items() if key in common})
    own = {key: value for key, value in checked.items() if key not in common}
    if settings.warmup_steps >= total_steps:
        raise UserError(
            f"config.optim.warmup_steps={settings.warmup_steps} leaves nothing of {total_steps} steps: "
            "try --config.optim.warmup_steps=0, or more steps."
        )
    if name.startswith("schedule_free") and settings.schedule != "constant":
        raise UserError(
            f"config.optim.schedule={settings.schedule!r} lowers the learning rate, which {name} does without: "
            "take --config.optim.schedule=constant."
        )
    rate = _schedule(settings, total_steps)
    try:
        return _built(settings, rate, frozen, own), rate
    except (TypeError, ValueError) as error:  # optax's own checks
        raise UserError(f"config.optim: {name} cannot be made: {str(error).partition(chr(10))[0]}") from error


def _built(
    settings: Settings, rate: Schedule, frozen: tuple[str, ...], own: Mapping[str, Any]
) -> optax.GradientTransformationExtraArgs:
    if settings.name == "sam":
        around = {key: value for key, value in own.items() if key in _sam_keys()}
        inner = {key: value for key, value in own.items() if key not in _sam_keys()}
        whole = _chain(settings, around.pop("optimizer", "sgd"), rate, inner)
        return sam(layerwise.only_trained(whole, frozen) if frozen else whole, **around)
    whole = _chain(settings, settings.name, rate, own)
    return optax.with_extra_args_support(layerwise.only_trained(whole, frozen) if frozen else whole)


def _chain(settings: Settings, name: str, rate: Schedule, own: Mapping[str, Any]) -> optax.GradientTransformation:
    """Clipping, the optimiser, decay and layer-wise rates. Checkpoints hold the state of this chain, part by part."""

    def mask(params: PyTree) -> PyTree:
        return decayed(params, settings.decay)

    strength = settings.weight_decay
    clip = optax.clip_by_global_norm(settings.clip_norm) if settings.clip_norm else optax.identity()
    decay = optax.add_decayed_weights(strength, mask) if strength else optax.identity()
    layers = [layerwise.scaled(settings.layer_decay)] if settings.layer_decay != 1 else []
    if name in CORES:
        return optax.chain(clip, CORES[name](**own), decay, *layers, optax.scale_by_learning_rate(rate))
    if name.startswith("schedule_free"):  # decay and rates of layers act on the sequence z
        around = {key: own[key] for key in ("b1", "weight_lr_power", "state_dtype") if key in own}
        core = {key: value for key, value in own.items() if key not in around}
        inner = optax.chain(SCHEDULE_FREE[name](**core), decay, *layers, optax.scale_by_learning_rate(rate))
        return optax.chain(clip, optax.contrib.schedule_free(inner, rate, **around))
    factory = _optax()[name]
    renamed = RENAMED.get(name, {})
    arguments = {renamed.get(key, key): value for key, value in own.items()} | {RATES.get(name, "learning_rate"): rate}
    parameters = inspect.signature(factory).parameters
    masks = [key for key in ("mask", "weight_decay_mask") if key in parameters]
    if "weight_decay" in parameters:
        arguments["weight_decay"] = strength if masks else 0.0
    if masks:
        arguments[masks[0]] = mask
        return optax.chain(clip, factory(**arguments), *layers)
    after = [optax.add_decayed_weights(lambda step: -strength * rate(step), mask)] if strength else []
    return optax.chain(clip, factory(**arguments), *after, *layers)


def _adamw(
    b1: Rate = 0.9,
    b2: Rate = 0.999,
    eps: PositiveFloat = 1e-8,
    eps_root: NonNegativeFloat = 0.0,
    mu_dtype: DType | None = None,
    nesterov: bool = False,
) -> optax.GradientTransformation:
    """Adam without its learning rate and decay (1412.6980, 1711.05101).

    Args:
      b1: decay of the first moment.
      b2: decay of the second moment.
      eps: added to the square root of the second moment.
      eps_root: added within the square root.
      mu_dtype: of the first moment; None for the parameters'.
      nesterov: whether the momentum is Nesterov's.
    """
    return optax.scale_by_adam(b1, b2, eps, eps_root, mu_dtype, nesterov=nesterov)


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
) -> optax.GradientTransformation:
    """Adafactor (1804.04235) without its learning rate, momentum and relative steps.

    Args:
      factored: whether the second moments of matrices are kept as the sums of their rows and columns.
      decay_rate: c of the second moment's decay 1 - t^-c.
      decay_offset: the step that t is counted from.
      min_dim_size_to_factor: the least size of both dimensions of a matrix that is factored.
      eps: added to the squared gradient.
      clipping_threshold: the largest root mean square of a parameter's update.
    """
    factors = optax.scale_by_factored_rms(factored, decay_rate, decay_offset, min_dim_size_to_factor, eps)
    return optax.chain(factors, optax.clip_by_block_rms(clipping_threshold))


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
def _optax() -> dict[str, Factory]:
    """Every optimiser of optax and optax.contrib that takes a learning rate, by name."""
    found: dict[str, Factory] = {}
    for name, function in [*inspect.getmembers(optax.contrib), *inspect.getmembers(optax)]:
        if name.startswith(("_", "scale_by_")) or name in REFUSED or not inspect.isfunction(function):
            continue
        if RATES.get(name, "learning_rate") in inspect.signature(function).parameters:
            found[name] = function
    return found


def _sam_keys() -> dict[str, Key]:
    return lookup.keys(sam, without=("whole",))


def _own_keys(name: str, optimizer: str) -> dict[str, Key]:
    if name == "sam":
        if optimizer == "sam" or optimizer.startswith("schedule_free"):
            raise UserError(f"config.optim.optimizer={optimizer!r} cannot be used within sam: take sgd or adamw.")
        return _own_keys(optimizer, "sgd") | _sam_keys()
    function = optimizer_of(name)
    if name in CORES:
        return lookup.keys(function)
    common = {field.name for field in fields(Settings)}
    found = {}
    for argument, parameter in inspect.signature(function).parameters.items():
        hint = _hint(argument, parameter.annotation, parameter.default)
        key = next((ours for ours, theirs in RENAMED.get(name, {}).items() if theirs == argument), argument)
        if hint and key not in common | KEPT_OUT:
            found[key] = Key(hint, parameter.default)
    return found


def _hint(name: str, hint: Any, default: object) -> Any:
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


def _reader(name: str, optimizer: str) -> Callable[..., dict[str, Any]]:
    """A function whose signature has the `keys` of an optimiser, as lookup.call checks them."""
    found = keys(name, optimizer)

    def read(**section: object) -> dict[str, object]:
        return section

    parameters = [
        inspect.Parameter(key, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=hint)
        for key, (hint, default) in found.items()
    ]
    read.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    read.__annotations__ = {key: hint for key, (hint, _) in found.items()}
    return read


def _schedule(settings: Settings, total_steps: int) -> Schedule:
    peak, end, warmup = settings.learning_rate, settings.end_learning_rate, settings.warmup_steps
    left = total_steps - warmup
    after = {
        "cosine": lambda: optax.cosine_decay_schedule(peak, left, alpha=end / peak if peak else 0.0),
        "linear": lambda: optax.linear_schedule(peak, end, left),
        "rsqrt": lambda: lambda step: peak * jnp.sqrt(max(warmup, 1) / (jnp.maximum(step, 0) + warmup + 1)),
        "constant": lambda: optax.constant_schedule(peak),
    }[settings.schedule]()
    if not warmup:
        return after
    # The first step is taken with peak / warmup, not with a rate of zero.
    start = optax.linear_schedule(peak / warmup, peak, max(warmup - 1, 1))
    return optax.join_schedules([start, after], [warmup])


def decayed(params: PyTree, patterns: tuple[str, ...]) -> PyTree:
    """The tree of booleans that says which parameters decay.

    Raises:
      UserError: a pattern that matches no parameter.
    """
    return layerwise.matched(params, patterns, "config.optim.decay")


def eval_params(opt_state: PyTree, params: PyTree) -> PyTree:
    """The parameters to evaluate: x of schedule-free optimisers (2405.15682, equation 5), else `params` themselves."""
    states = jax.tree.leaves(opt_state, is_leaf=_is_schedule_free)
    for state in filter(_is_schedule_free, states):

        def averaged(z: PyTree, y: jax.Array, b1: jax.Array = state.b1) -> jax.Array:
            if _is_masked(z):  # a frozen parameter
                return y
            # One number, or as many as pmap has devices.
            b1 = b1.reshape(*b1.shape, *[1] * (y.ndim - b1.ndim))
            return (y - (1.0 - b1) * z) / b1

        return jax.tree.map(averaged, state.z, params, is_leaf=_is_masked)
    return params


def _is_schedule_free(node: object) -> bool:
    return isinstance(node, optax.contrib.ScheduleFreeState)


def _is_masked(node: object) -> bool:
    return isinstance(node, optax.MaskedNode)


EARLIER = {"adamw": ("b1", "b2", "eps"), "sgd": ("momentum", "nesterov"), "adafactor": ()}


def from_earlier(section: Mapping[str, Any]) -> dict[str, Any]:
    """config.optim of a run that an earlier version trained, without the keys that its optimiser did not read.

    Every section had b1, b2, eps, momentum and nesterov then; one that does not have them all stays as it is.
    """
    every = {key for own in EARLIER.values() for key in own}
    if not every <= section.keys():
        return dict(section)
    return {key: value for key, value in section.items() if key not in every or key in EARLIER[section["name"]]}
