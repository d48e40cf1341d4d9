"""The devices that JAX finds on this machine, or that there are none."""

import contextlib
from collections.abc import Iterator

import jax
from jax.extend.backend import clear_backends

from errors import explained


def present() -> tuple[jax.Device, ...]:
    """The devices of all hosts.

    Raises:
      NoDevice: there is none of the kind that JAX_PLATFORMS asks for.
    """
    try:
        return tuple(jax.devices())
    except (RuntimeError, AssertionError) as error:  # which one, and whether it says anything, depends on the kind
        kind = jax.config.values["jax_platforms"]
        raise explained(RuntimeError(str(error) or f"Unable to initialize backend {kind!r}: not installed")) from None


@contextlib.contextmanager
def cpu_instead() -> Iterator[tuple[jax.Device, ...]]:
    """The CPU, where `present` finds no device. Afterwards JAX is as it was."""
    asked = jax.config.values["jax_platforms"]
    jax.config.update("jax_platforms", "cpu")
    try:
        yield tuple(jax.devices())[:1]
    finally:
        jax.config.update("jax_platforms", asked)
        clear_backends()
