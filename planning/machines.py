"""Machines by name, such as "v5e:4x4" or "h100x8", with the properties a plan needs. The machine need not be here."""

import importlib.util
import math
import os
import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal, TypedDict

from errors import UserError, installs, nearest

if TYPE_CHECKING:  # jax reads its environment when it is imported, which ABSENT must precede
    import jax

HERE = "this machine"
LIBTPU = ("libtpu==0.0.42.*",)
CUDA = ("jax-cuda13-plugin==0.10.2", "jax-cuda13-pjrt==0.10.2")
# The environment in which jax must be imported to compile for a machine that is not here.
ABSENT = {
    "JAX_PLATFORMS": "cpu",
    "TPU_SKIP_MDS_QUERY": "1",
    "ALLOW_MULTIPLE_LIBTPU_LOAD": "1",
    "TPU_WORKER_HOSTNAMES": "localhost",  # with the next, libtpu does not warn that it finds no TPU
    "TPU_ACCELERATOR_TYPE": "v5litepod-4",
    "TF_CPP_MIN_LOG_LEVEL": "3",
    "JAX_ENABLE_COMPILATION_CACHE": "false",  # a program that cannot be loaded here cannot come from the cache
}


@dataclass(frozen=True)
class Chip:
    """One JAX device (a core of a TPU v2 or v3, else a chip).

    Attributes:
      kind: its name in jax (device_kind) and in training/flops.PEAKS.
      memory: bytes a program may use.
      bandwidth: of that memory, bytes/s.
      link: bytes/s it sends to the other devices of its machine.
      clock: Hz, of the cycles that libtpu counts; 0 if there are none.
    """

    kind: str
    memory: int
    bandwidth: float
    link: float
    clock: float = 0.0


def _gib(gib: float) -> int:
    """Bytes."""
    return int(gib * 2**30)


# Memory: what libtpu 0.0.42 gives a program. Clocks: at which the operations a cycle that libtpu counts for a large
# matrix product reach the data sheet's peak; v6e's is inferred from that alone (369,000 of 524,288 at 1.75 GHz).
# Bandwidths and links of v5e, v5p and v6e: cloud.google.com/tpu/docs/v5e and so on; the links of v2 to v4 could not be
# confirmed there.
TPUS = {
    "v2": Chip("TPU v2", _gib(7.48), 350e9, 124e9, 0.70e9),
    "v3": Chip("TPU v3", _gib(15.48), 450e9, 164e9, 0.94e9),
    "v4": Chip("TPU v4", _gib(30.75), 1228e9, 300e9, 1.05e9),
    "v5e": Chip("TPU v5 lite", _gib(15.75), 819e9, 200e9, 1.503e9),
    "v5p": Chip("TPU v5", _gib(95.74), 2765e9, 600e9, 1.75e9),
    "v6e": Chip("TPU v6 lite", _gib(31.25), 1638e9, 400e9, 1.75e9),
}
SLICES = {  # names by number of cores or chips -> topologies
    "v2-8": "v2:2x2",
    "v3-8": "v3:2x2",
    "v3-32": "v3:4x4",
    "v4-8": "v4:2x2x1",
    "v4-16": "v4:2x2x2",
    "v4-32": "v4:2x2x4",
    "v5e-4": "v5e:2x2",
    "v5e-8": "v5e:2x4",
    "v5e-16": "v5e:4x4",
    "v5p-8": "v5p:2x2x1",
    "v5p-16": "v5p:2x2x2",
    "v6e-4": "v6e:2x2",
    "v6e-8": "v6e:2x4",
    "v6e-16": "v6e:4x4",
}
# Memory: 92 % of the device's, which the driver and XLA_PYTHON_CLIENT_MEM_FRACTION=.92 leave. Links: NVLink, one way.
GPUS = {
    "a100": Chip("NVIDIA A100", int(0.92 * 85_100_068_864), 2039e9, 300e9),
    "h100": Chip("NVIDIA H100", int(0.92 * 84_942_979_072), 3352e9, 450e9),
    "h200": Chip("NVIDIA H200", int(0.92 * 151_397_597_184), 4800e9, 450e9),
}
GPU_DEFAULT_SHARE = 0.75 / 0.92  # of Chip.memory, which JAX takes by default
# The properties of a GPU that XLA's compiler needs, from the specifications published with it (openxla/xla,
# xla/backends/gpu/target_config/specs: a100_sxm_80, h100_sxm, h200).
_AMPERE = dict(core_count=108, fpus_per_core=64, shared_memory_per_core=167936, shared_memory_per_block_optin=166912)
_HOPPER = dict(core_count=132, fpus_per_core=128, shared_memory_per_core=233472, shared_memory_per_block_optin=232448)
_EVERY = dict(
    **dict(
        threads_per_block_limit=1024, threads_per_warp=32, threads_per_core_limit=2048, shared_memory_per_block=49152
    ),
    **dict(block_dim_limit_x=2147483647, block_dim_limit_y=65535, block_dim_limit_z=65535),
    **dict(registers_per_core_limit=65536, registers_per_block_limit=65536),
)
TARGETS: dict[str, tuple[str, int, dict[str, float]]] = {
    "a100": ("NVIDIA A100-SXM4-80GB", 8, _AMPERE | dict(l2_cache_size=41943040, clock_rate_ghz=1.41)),
    "h100": ("NVIDIA H100 80GB HBM3", 9, _HOPPER | dict(l2_cache_size=52428800, clock_rate_ghz=1.98)),
    "h200": ("NVIDIA H200 141GB HBM3e", 9, _HOPPER | dict(l2_cache_size=52428800, clock_rate_ghz=1.98)),
}


class MachineJson(TypedDict):
    """A machine in a plan's JSON. Attributes: see Machine and Chip; kind: jax's device_kind."""

    name: str
    platform: str
    kind: str
    devices: int
    hosts: int
    memory_bytes: int


@dataclass(frozen=True)
class Machine:
    """The machine a run is planned for.

    Attributes:
      name: as the user gave it.
      platform: its name in XLA's lowering.
      chip: one of its devices.
      devices: jax's, to compile for.
      here: whether it is this machine.
    """

    name: str
    platform: Literal["tpu", "cuda", "cpu"]
    chip: Chip
    devices: "tuple[jax.Device, ...]"
    here: bool = False

    @property
    def hosts(self) -> int:
        """Number of hosts."""
        return len({device.process_index for device in self.devices})

    def as_json(self) -> MachineJson:
        """The machine as a plan records it."""
        return {
            "name": self.name,
            "platform": self.platform,
            "kind": self.devices[0].device_kind,
            "devices": len(self.devices),
            "hosts": self.hosts,
            "memory_bytes": self.chip.memory,
        }


def elsewhere(arguments: list[str]) -> bool:
    """Whether a command line names a machine other than this one."""
    for number, argument in enumerate(arguments):
        if re.fullmatch("--?topology", argument):
            return arguments[number + 1 : number + 2] not in ([HERE], ["here"])
        if flag := re.fullmatch("--?topology=(.*)", argument):
            return flag[1] not in (HERE, "here")
    return False


def find(name: str) -> Machine:
    """A machine by its name: "this machine", "v5e:4x4" (or "v5e-16"), "h100x8".

    Raises:
      UserError: an unknown name, or a compiler that is not installed.
    """
    if name in (HERE, "here"):
        return _here()
    topology = SLICES.get(name, name)
    if tpu := re.fullmatch(r"(v\d+\w*):(\d+(?:x\d+){1,2})", topology):
        if tpu[1] in TPUS:
            return _tpu(name, topology, tpu[1], [int(n) for n in tpu[2].split("x")])
    elif (gpu := re.fullmatch(r"([a-z]+\d+)x(\d+)", name)) and gpu[1] in GPUS:
        return _gpu(name, gpu[1], int(gpu[2]))
    examples = [f"{gpu}x{count}" for gpu in GPUS for count in (1, 8)]
    raise UserError(f"--topology={name!r} is not a machine: {nearest(name, [HERE, 'v5e:4x4', *SLICES, *examples])}")


def described() -> list[str]:
    """The names of machines."""
    gpus = ", ".join(f"{gpu}xN" for gpu in GPUS)
    return [HERE, f"{gpus}, N of them", f"{', '.join(TPUS)} with a shape, v5e:4x4", f"{', '.join(SLICES)}"]


def _here() -> Machine:
    """This machine."""
    from training import backend, flops

    devices = backend.present()
    statistics = (devices[0].memory_stats() or {}) if devices[0].platform != "cpu" else {}
    memory = statistics.get("bytes_limit") or os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // len(devices)
    platform = {"gpu": "cuda"}.get(devices[0].platform, devices[0].platform)
    kind = devices[0].device_kind
    chips = {flops.data_sheet(chip.kind): chip for chip in [*TPUS.values(), *GPUS.values()]}
    unknown = Chip(kind, memory, bandwidth=math.inf, link=math.inf)
    chip = replace(chips.get(flops.data_sheet(kind), unknown), memory=memory)
    return Machine(HERE, platform, chip, devices, here=True)


def _tpu(name: str, topology: str, generation: str, shape: list[int]) -> Machine:
    """A slice of TPUs, as libtpu describes it. topology: such as "v5e:4x4", with its `generation` and `shape`."""
    if importlib.util.find_spec("libtpu") is None:
        raise UserError(
            f"--topology={name} is compiled for by libtpu, which is not installed: {installs(*LIBTPU)} (684 MB)."
        )
    from jax.experimental import topologies

    options: dict[str, object] = {}  # libtpu's own
    if math.prod(shape) < 4:
        options["chips_per_host_bounds"] = (*shape, 1, 1)[:3]
    if generation == "v4":
        options |= dict(chip_config_name="megacore", chips_per_host_bounds=(2, 2, 1))
    try:
        devices = topologies.get_topology_desc(topology, "tpu", **options).devices
    except Exception as error:  # jaxlib raises several types
        topologies_of = [t for t in SLICES.values() if t.startswith(f"{generation}:")]
        reason = str(error).splitlines()[0].removeprefix("INVALID_ARGUMENT: ")
        raise UserError(
            f"--topology={name} is not a topology of {generation} ({reason}): {nearest(topology, topologies_of)}"
        ) from None
    return Machine(name, "tpu", TPUS[generation], tuple(devices))


def _gpu(name: str, model: str, count: int) -> Machine:
    """Hosts of up to eight GPUs, as JAX's CUDA plugin describes them. model: a key of GPUS."""
    if count < 1 or (count > 8 and count % 8):
        raise UserError(f"--topology={name}: up to 8 GPUs, or whole hosts of 8: try {model}x{max(8, count // 8 * 8)}.")
    if not _has_cuda():
        raise UserError(
            f"--topology={name} is compiled for by JAX's CUDA plugin, which is not installed: {installs(*CUDA)} "
            "(130 MB)."
        )
    from jax.experimental import topologies

    shape = f"1x{-(-count // 8)}x{min(count, 8)}"
    try:
        devices = topologies.get_topology_desc(name, "cuda", target_config=target_config(model), topology=shape).devices
    except Exception as error:  # of jaxlib, if the plugin is of another version
        raise UserError(
            f"JAX's CUDA plugin cannot compile for {name}: {str(error).splitlines()[0]} Try {installs(*CUDA)}."
        ) from None
    return Machine(name, "cuda", GPUS[model], tuple(devices))


def _has_cuda() -> bool:
    """Whether JAX's CUDA plugin is installed."""
    try:
        return any(importlib.util.find_spec(f"jax_plugins.xla_cuda{version}") for version in (13, 12))
    except ModuleNotFoundError:  # jax_plugins itself is missing
        return False


def target_config(gpu: str) -> str:
    """XLA's GpuTargetConfigProto of a GPU, as text."""
    description, major, own = TARGETS[gpu]
    chip, memory = GPUS[gpu], round(GPUS[gpu].memory / 0.92)
    facts = _EVERY | own | dict(memory_bandwidth=int(chip.bandwidth), device_memory_size=memory)
    extension = "ACCELERATED_FEATURES" if major >= 9 else "NONE"
    lines = [f"  {name}: {value}" for name, value in facts.items()]
    return "\n".join(
        [
            "gpu_device_info {",
            *lines,
            f"  cuda_compute_capability {{ major: {major} feature_extension: {extension} }}",
            "}",
            'platform_name: "CUDA"',
            "dnn_version_info { major: 9 minor: 10 patch: 0 }",
            f'device_description_str: "{description}"',
        ]
    )
