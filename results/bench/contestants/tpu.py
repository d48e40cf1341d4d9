"""A training step compiled for one v5e chip, which need not be here: Mcycles that the compiler counts and GB of
temporaries; bfloat16, without dropout."""

import importlib.util
import os
from collections.abc import Callable

from contestants import here, translation, vit

MACHINE = "v5e:1x1"


def machine() -> here.Theirs:
    """What is compiled for.

    Raises:
      Absent: libtpu is not installed.
    """
    if importlib.util.find_spec("libtpu") is None:
        raise here.Absent('the compiler: pip install "libtpu==0.0.42.*"')
    here.ours()
    from planning import machines

    os.environ |= machines.ABSENT
    return machines.find(MACHINE)


def measured(compiled: Callable[[], tuple[str, int]]) -> here.Measured:
    """compiled: returns the text of the program and the bytes of its temporaries."""
    facts: dict[str, float] = {}

    def work() -> float:
        from planning import cycles

        text, temporaries = compiled()
        facts["GB"] = round(temporaries / 1e9, 2)
        return cycles.cost(text).cycles / 1e6

    return here.Measured(work, lambda: facts)


def ours(config: str, changes: here.Settings) -> here.Measured:
    """This code, by the train_step of a run of a config with changes."""
    chip = machine()
    run = here.run(config, {"parallel.mode": "mesh", **changes}, read=False, devices=chip.devices)
    from planning import programs

    def compiled() -> tuple[str, int]:
        program = programs.attempt(run, chip, programs.largest(run.pipeline.shapes), quick=False)
        return program.text, program.memory["temporaries"]

    return measured(compiled)


def big_vision(size: vit.Size, batch: int) -> here.Measured:
    """Google's later code."""
    chip = machine()
    return of_vit(chip, vit.big_vision_model(size, "bfloat16"), size, batch)


def vision_transformer(size: vit.Size, batch: int) -> here.Measured:
    """Google's code of the paper, whose activations stay float32."""
    chip = machine()
    return of_vit(chip, vit.vision_transformer_model(size), size, batch)


def of_vit(chip: here.Theirs, published: vit.Model, size: vit.Size, batch: int) -> here.Measured:
    """A published ViT."""
    import jax

    model, logits = published
    data = vit.images(size, batch)
    params = jax.eval_shape(lambda: model.init(jax.random.key(0), data[0], train=False)["params"])
    return theirs(chip, vit.loss_of(model, logits), params, data, clip=True)


def flax(rows: int, length: int, vocabulary: int) -> here.Measured:
    """flax's examples/wmt."""
    chip = machine()
    import jax

    loss, initial = translation.flax_loss(vocabulary, dtype=jax.numpy.bfloat16, deterministic=True)
    data = translation.sentences(rows, length, vocabulary)
    return theirs(chip, loss, jax.eval_shape(initial, data), data, clip=False)


def theirs(
    chip: here.Theirs, loss: Callable[..., here.Theirs], params: here.Theirs, batch: here.Theirs, clip: bool
) -> here.Measured:
    """A published model's training step. params, batch: their shapes."""
    import jax
    from contestants import published

    begin, step = published.make(loss, clip)
    state = jax.eval_shape(begin, params)
    where = jax.sharding.SingleDeviceSharding(chip.devices[0])
    shapes = jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=where), (state, batch))

    def compiled() -> tuple[str, int]:
        traced = jax.jit(step, donate_argnums=0).trace(*shapes)
        program = traced.lower(lowering_platforms=("tpu",)).compile()
        return program.as_text(), program.memory_analysis().temp_size_in_bytes

    return measured(compiled)
