"""Memory of each device under each mesh, from compiled programs: ViT-B/16 on eight virtual devices.

    python results/mesh_memory.py

Writes results/mesh_memory.json. Parameters and optimiser state are the program's arguments without the batch.
Temporaries are activations, gradients and workspace as the CPU's compiler plans them: ratios hold for accelerators,
bytes do not.
"""

import json
import os
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))
os.environ |= {"JAX_PLATFORMS": "cpu", "XLA_FLAGS": "--xla_force_host_platform_device_count=8", "NPROC": "16"}

import numpy as np  # noqa: E402

import commands  # noqa: E402
import experiment  # noqa: E402
from configs import vit_imagenet  # noqa: E402
from experiment import record  # noqa: E402
from training import parallel  # noqa: E402

MESHES = ((1, 1, 1), (8, 1, 1), (1, 8, 1), (4, 1, 2), (2, 2, 2), (1, 4, 2))
BATCH = 64


def row(data: int, fsdp: int, tensor: int) -> dict[str, object]:
    """Memory under a mesh of these sizes."""
    import jax

    config = vit_imagenet.get_config("B/16")
    config.data.update(source="synthetic", name="1000", batch_size=BATCH)
    config.parallel.update(mode="mesh", data=data, fsdp=fsdp, tensor=tensor)
    config.model.dtype = "float32"  # a CPU computes bfloat16 products in float32, from copies
    run = experiment.build(config, Path("nowhere"), devices=jax.devices()[: data * fsdp * tensor])
    assert isinstance(run.devices, parallel.Mesh)
    batch = run.devices.lay_out_batch({k: jax.ShapeDtypeStruct(*v) for k, v in run.pipeline.shapes[0][1].items()})
    train_step = run.train_step
    memory = train_step.trace(run.abstract_state, batch).lower().compile().memory_analysis()
    state = sum(
        np.prod(x.sharding.shard_shape(x.shape), dtype=int) * x.dtype.itemsize
        for x in jax.tree.leaves(run.abstract_state)
    )
    return {
        "data x fsdp x tensor": f"{data} x {fsdp} x {tensor}",
        "parameters and optimizer, MB": round(int(state) / 1e6, 1),
        "all arguments of the program, MB": round(memory.argument_size_in_bytes / 1e6, 1),
        "temporaries, MB": round(memory.temp_size_in_bytes / 1e6, 1),
    }


def main() -> None:
    """Writes the record."""
    about = record.clean_provenance()
    rows = []
    for mesh in MESHES:
        rows.append(row(*mesh))
        print(json.dumps(rows[-1]), flush=True)
    result = {
        "command": "python results/mesh_memory.py",
        "model": f"ViT-B/16, global batch {BATCH}, float32, AdamW, layers scanned",
        "expected": "state a device: whole on data axes; an eighth on 8 of fsdp or tensor, except norms, biases and "
        "positions",
        "per device": rows,
        **about,
    }
    path = ROOT / "results" / "mesh_memory.json"
    path.write_text(json.dumps(result, indent=2) + "\n")
    print(f"Written to {path}.")


if __name__ == "__main__":
    commands.script(main, __doc__)
