"""config.optim: an optimiser with clipping, decay, layer-wise rates and frozen parameters, and its learning rate."""

import inspect
from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Annotated, Literal

import jax
import jax.numpy as jnp
import optax
import optax.contrib
from annotated_types import Interval
from pydantic import NonNegativeFloat, PositiveFloat

import lookup
from errors import UserError
from lookup import Key, Pattern, Rate, Section, Steps, Value
from training import layerwise, optimisers
from training.optimisers import CORES, RATES, RENAMED, SCHEDULE_FREE
from training.trees import PyTree, matched

Schedule = Callable[[jax.typing.ArrayLike], jax.Array]


@dataclass(frozen=True)
class Settings:
    """config.optim: the keys of every optimiser. The optimiser's own arguments stand beside them, by optax's names.

    Attributes:
      name: of optax or optax.contrib: adamw, sgd, adafactor, lion, muon, schedule_free_adamw, sam, ... Optimisers that
        estimate their own rate (prodigy, dog, dowg, cocob, dadapt_adamw, momo) take learning_rate=1.
      learning_rate: the highest, reached after `warmup_steps` of linear growth from 0.
      schedule: what follows the warm-up: cosine or linear to `end_learning_rate` at the last step; rsqrt, falling as
        1 / sqrt(step) (1706.03762, equation 3); stairs, divided by `stair` at each of `stairs`; constant.
      warmup_steps: steps of linear growth.
      end_learning_rate: of cosine and linear.
      hold: share of the steps after the warm-up at which cosine and linear keep the highest rate, before it falls.
      power: of linear: the rate falls with this power of the steps that are left ("poly" of segmentation is 0.9).
      stairs: shares of all steps, in their order.
      stair: what the rate is divided by at each of them.
      clip_norm: the gradient's largest global norm; 0 does not clip.
      weight_decay: decoupled, times the learning rate (1711.05101). Optimisers of optax that have an argument of this
        name and a mask decay in their own way. 0 for none.
      end_weight_decay: what it becomes by a cosine, at the last step (2104.14294, appendix); None for one that stays.
      decay: patterns (whole match) of the parameter paths that decay, "encoder/block_00/mlp/expand/kernel".
      layer_decay: the learning rate of each layer as a share of that of the layer above (training/layerwise.py).
      rates: pairs of a pattern and a factor of the learning rate of the parameters whose path it matches; the first
        that matches counts: (("trunk/.*", 0.1),).
    """

    name: str = "adamw"
    learning_rate: NonNegativeFloat = 1e-3
    schedule: Literal["cosine", "linear", "rsqrt", "stairs", "constant"] = "cosine"
    warmup_steps: Steps = 0
    end_learning_rate: NonNegativeFloat = 0.0
    hold: Rate = 0.0
    power: PositiveFloat = 1.0
    stairs: tuple[Rate, ...] = ()
    stair: Annotated[float, Interval(gt=1)] = 10.0
    clip_norm: NonNegativeFloat = 1.0
    weight_decay: NonNegativeFloat = 0.0
    end_weight_decay: NonNegativeFloat | None = None
    decay: tuple[Pattern, ...] = (".*/kernel",)
    layer_decay: Annotated[float, Interval(gt=0, le=1)] = 1.0
    rates: tuple[tuple[Pattern, NonNegativeFloat], ...] = ()

    def __post_init__(self) -> None:
        of = {"hold": ("cosine", "linear"), "power": ("linear",), "stairs": ("stairs",), "stair": ("stairs",)}
        for key, schedules in of.items():
            if getattr(self, key) != getattr(Settings, key) and self.schedule not in schedules:
                raise UserError(
                    f"config.optim.{key} is of config.optim.schedule={' or '.join(schedules)}, and the schedule is "
                    f"{self.schedule}."
                )
        if self.schedule == "stairs" and (not self.stairs or list(self.stairs) != sorted(set(self.stairs))):
            raise UserError(
                f"config.optim.stairs={self.stairs} should be growing shares of the steps, such as (0.6, 0.9): at each "
                "the rate is divided by config.optim.stair."
            )


COMMON = tuple(field.name for field in fields(Settings))


def keys(name: str, optimizer: str = "sgd") -> dict[str, Key]:
    """All keys of config.optim for an optimiser: those of every optimiser and its own.

    Args:
      optimizer: whose keys "sam" has too.

    Raises:
      UserError: an unknown name.
    """
    return lookup.keys(Settings) | optimisers.own_keys(name, optimizer, COMMON)


def meanings(name: str, optimizer: str = "sgd") -> dict[str, str]:
    """What each of the `keys` means; of optax's own, in the words of its documentation."""
    found = lookup.meanings(optimisers.find(name)) | (meanings(optimizer) if name == "sam" else {})
    found |= lookup.meanings(Settings)
    return {key: text for key, text in found.items() if key in keys(name, optimizer)}


def make(
    *,
    total_steps: int,
    frozen: tuple[str, ...] = (),
    order: layerwise.Order = tuple,
    **section: object,
) -> tuple[optax.GradientTransformationExtraArgs, Schedule]:
    """The optimiser of config.optim and its learning rate by step, counted from 0.

    Its `update` may be given value=, the loss, grad_norm=, the gradient's global norm, and grad_fn=, the gradient at
    other parameters: those that need them use them.

    Args:
      total_steps: of the run, for the schedule.
      frozen: patterns of parameter paths that are not trained and have no optimiser state.
      order: what `layer_decay` and `decay` ask of the model, see training/layerwise.py.
      **section: the keys of `Settings` and the optimiser's own.

    Raises:
      UserError: an unknown optimiser or key, or a value of the wrong type or out of range.
    """
    name, optimizer = str(section.get("name", Settings.name)), str(section.get("optimizer", "sgd"))
    checked = lookup.call("config.optim", _reader(name, optimizer), section)
    settings = Settings(**{key: value for key, value in checked.items() if key in COMMON})
    own = {key: value for key, value in checked.items() if key not in COMMON}
    if settings.warmup_steps >= total_steps:
        raise UserError(
            f"config.optim.warmup_steps={settings.warmup_steps} leaves nothing of {total_steps} steps: "
            "try --config.optim.warmup_steps=0, or more steps."
        )
    if name.startswith("schedule_free") and settings.schedule != "constant":
        raise UserError(
            f"config.optim.schedule={settings.schedule!r} lowers the learning rate, which {name} does without: "
            "take --config.optim.schedule=constant"
        )
    rate, strength = _schedule(settings, total_steps), decay_strength(settings, total_steps)
    try:
        return _built(settings, rate, strength, frozen, order, own), rate
    except (TypeError, ValueError) as error:  # optax's own checks
        raise UserError(f"config.optim: {name} cannot be made: {str(error).partition(chr(10))[0]}") from error


def _built(
    settings: Settings,
    rate: Schedule,
    strength: float | Schedule,
    frozen: tuple[str, ...],
    order: layerwise.Order,
    own: Section,
) -> optax.GradientTransformationExtraArgs:
    if settings.name == "sam":
        around = {key: value for key, value in own.items() if key in optimisers.sam_keys()}
        inner = {key: value for key, value in own.items() if key not in optimisers.sam_keys()}
        whole = _chain(settings, around.pop("optimizer", "sgd"), rate, strength, order, inner)
        return optimisers.sam(layerwise.only_trained(whole, frozen) if frozen else whole, **around)
    whole = _chain(settings, settings.name, rate, strength, order, own)
    return optax.with_extra_args_support(layerwise.only_trained(whole, frozen) if frozen else whole)


def _chain(
    settings: Settings, name: str, rate: Schedule, strength: float | Schedule, order: layerwise.Order, own: Section
) -> optax.GradientTransformation:
    """Clipping, the optimiser, decay and layer-wise rates. Checkpoints hold the state of this chain, part by part."""

    def mask(params: PyTree) -> PyTree:
        return decayed(params, settings.decay, order)

    clip = clipped(settings.clip_norm) if settings.clip_norm else optax.identity()
    decay = optax.add_decayed_weights(strength, mask) if strength else optax.identity()
    layers = [layerwise.scaled(settings.layer_decay, order)] if settings.layer_decay != 1 else []
    layers += [layerwise.multiplied(settings.rates, order)] if settings.rates else []
    if name in CORES:
        return optax.chain(clip, CORES[name](**own), decay, *layers, optax.scale_by_learning_rate(rate))
    if name.startswith("schedule_free"):  # decay and rates of layers act on the sequence z
        around = {key: own[key] for key in ("b1", "weight_lr_power", "state_dtype") if key in own}
        core = {key: value for key, value in own.items() if key not in around}
        inner = optax.chain(SCHEDULE_FREE[name](**core), decay, *layers, optax.scale_by_learning_rate(rate))
        return optax.chain(clip, optax.contrib.schedule_free(inner, rate, **around))
    factory = optimisers.in_optax()[name]
    renamed = RENAMED.get(name, {})
    arguments = {renamed.get(key, key): value for key, value in own.items()} | {RATES.get(name, "learning_rate"): rate}
    parameters = inspect.signature(factory).parameters
    masks = [key for key in ("mask", "weight_decay_mask") if key in parameters]
    if "weight_decay" in parameters:
        arguments["weight_decay"] = strength if masks else 0.0
    if masks:
        arguments[masks[0]] = mask
        return optax.chain(clip, factory(**arguments), *layers)
    of_step = strength if callable(strength) else optax.constant_schedule(strength)
    after = [optax.add_decayed_weights(lambda step: -of_step(step) * rate(step), mask)] if strength else []
    return optax.chain(clip, factory(**arguments), *after, *layers)


def clipped(largest: float) -> optax.GradientTransformationExtraArgs:
    """optax.clip_by_global_norm, whose `update` may be given grad_norm=, the gradient's norm, where it is known."""

    def update(
        grads: PyTree, state: PyTree, params: PyTree | None = None, *, grad_norm: jax.Array | None = None, **_: object
    ) -> tuple[PyTree, PyTree]:
        norm = optax.tree.norm(grads) if grad_norm is None else grad_norm

        def clip(g: jax.Array) -> jax.Array:
            return jnp.where(norm < largest, g, g / norm.astype(g.dtype) * largest)

        return jax.tree.map(clip, grads), state

    return optax.GradientTransformationExtraArgs(lambda params: optax.EmptyState(), update)


def _reader(name: str, optimizer: str) -> Callable[..., dict[str, Value]]:
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
    held = int(settings.hold * (total_steps - warmup))  # at least one step is left
    left = total_steps - warmup - held
    places = [round(share * total_steps) - warmup for share in settings.stairs]
    after = {
        "cosine": lambda: optax.cosine_decay_schedule(peak, left, alpha=end / peak if peak else 0.0),
        "linear": lambda: optax.polynomial_schedule(peak, end, settings.power, left),
        "stairs": lambda: optax.piecewise_constant_schedule(
            peak, {place: settings.stair ** -places.count(place) for place in places}
        ),
        "rsqrt": lambda: lambda step: peak * jnp.sqrt(max(warmup, 1) / (jnp.maximum(step, 0) + warmup + 1)),
        "constant": lambda: optax.constant_schedule(peak),
    }[settings.schedule]()
    if held:
        after = optax.join_schedules([optax.constant_schedule(peak), after], [held])
    if not warmup:
        return after
    # The first step is taken with peak / warmup, not with a rate of zero.
    start = optax.linear_schedule(peak / warmup, peak, max(warmup - 1, 1))
    return optax.join_schedules([start, after], [warmup])


def decay_strength(settings: Settings, total_steps: int) -> float | Schedule:
    """Of the weight decay: a number, or what it is at each step."""
    begin, end = settings.weight_decay, settings.end_weight_decay
    if end is None or end == begin:
        return begin
    return lambda step: end - (end - begin) * (1 + jnp.cos(jnp.pi * jnp.minimum(step / total_steps, 1.0))) / 2


def decayed(params: PyTree, patterns: tuple[str, ...], order: layerwise.Order = tuple) -> PyTree:
    """The tree of booleans that says which parameters decay.

    Args:
      order: paths of all parameters; those that are not trained are not in the tree.

    Raises:
      UserError: a pattern that matches no parameter.
    """
    return matched(params, patterns, "config.optim.decay", order)


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


def from_earlier(section: Section) -> dict[str, Value]:
    """config.optim of a run that an earlier version trained, without the keys that its optimiser did not read.

    Every section had b1, b2, eps, momentum and nesterov then; one that does not have them all stays as it is.
    """
    every = {key for own in EARLIER.values() for key in own}
    if not every <= section.keys():
        return dict(section)
    return {key: value for key, value in section.items() if key not in every or key in EARLIER[section["name"]]}
