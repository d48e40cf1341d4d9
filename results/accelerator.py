"""Training on one GPU beside what people would use instead: python results/accelerator.py [--minutes=8] [--tiny]

Images and tokens a second of ViT-B/16 and S/16, GPT-2 small and the big Transformer, all in bfloat16, by the train_step
of the configs; beside them timm, nanoGPT and transformers, compiled, each in a process of its own that takes turns with
ours. Of ours also the share of the device's peak (MFU), the most memory used, the attention kernel that was chosen, and
the operations that took longest. Writes accelerator.json after each line and accelerator.png, in results/ or --folder;
lines that are there already and not measured again stay. Lines come in order of importance; the last ones are left out
when the time is over.

Needs no TensorFlow: jax with its CUDA plugin, flax, optax, orbax-checkpoint, tensorstore, numpy, jaxtyping,
typing_extensions, absl-py, PyYAML, sentencepiece, safetensors and matplotlib, which machines for JAX have; and
ml_collections, docstring_parser, pydantic, pydantic_core, annotated-types and typing-inspection, small wheels that can
be carried. Others are measured where torch, timm and transformers can be imported by PEERS_PYTHON, else by the same
Python; nanoGPT where NANOGPT says that it is checked out. In a copy without a repository, --commit=HASH says what it
is a copy of. --tiny tries everything with small shapes on any machine in about a minute, with no record in results/.
"""

import os
import sys
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

import commands  # noqa: E402
from experiment import record  # noqa: E402
from lookup import Json  # noqa: E402
from results.bench import picture, table, turns  # noqa: E402
from results.bench.lines import OURS, Contestant, Line, size  # noqa: E402

LEAST = 45.0  # seconds that a line needs


def lines(tiny: bool) -> Iterator[Line]:
    """The lines, the most important first."""
    steps = 2 if tiny else 10  # of a call
    options = {"dtype": "bfloat16", "steps": steps, "compiled": not tiny}

    def line(name: str, title: str, unit: str, config: str, changes: Json, others: dict[str, Contestant]) -> Line:
        ours = {"config": config, "changes": {"model.dtype": "bfloat16", **changes}, "steps": steps, "profile": True}
        contestants = {OURS: Contestant("ours.training", ours)} | others
        return Line(
            name,
            f"{title}, bfloat16, training",
            unit,
            contestants,
            expected="at least 50 % MFU, 1.1 times each of the others",
            seconds=0.2 if tiny else 3.0,
            together=True,
        )

    def vit(letter: str, batch: int, width: int, heads: int) -> Line:
        shape = size(32, 2, 2, 64, 16, 32, 10) if tiny else size(width, 12, heads, 4 * width, 16, 224, 1000)
        changes = {"data.batch_size": 4 if tiny else batch, "model.dropout": 0.0}
        keys = ("width", "depth", "heads", "mlp_dim")
        smaller = {f"model.{key}": shape[key] for key in keys} | {"data.image_size": shape["image"]} if tiny else {}
        timm = {"size": shape, "batch": changes["data.batch_size"], **options}
        return line(
            f"vit_{letter.lower()}",
            f"ViT-{letter}/16, batch {batch}",
            "images/s",
            f"configs/vit_imagenet.py:{letter}/16",
            changes | smaller,
            {"timm compiled": Contestant("vit.timm", timm, torch=True)},
        )

    def gpt() -> Line:
        rows, length = (2, 32) if tiny else (16, 1024)
        shape = {"width": 32, "depth": 2, "heads": 2} if tiny else {"width": 768, "depth": 12, "heads": 12}
        vocabulary = 512 if tiny else 50_304  # GPT-2's, filled up to a multiple of 64 as in nanoGPT
        changes = {f"model.{key}": value for key, value in shape.items()} | {
            "model.max_length": length,
            "model.use_bias": True,
            "data.length": length,
            "data.batch_size": rows,
            "data.vocabulary_size": vocabulary,
            "data.document_mask": False,
        }
        theirs = {"size": {**shape, "vocabulary": vocabulary}, "rows": rows, "length": length, **options}
        others = {
            "nanoGPT compiled": Contestant("gpt.nanogpt", theirs, torch=True),
            "transformers compiled": Contestant("gpt.transformers", theirs, torch=True),
        }
        return line("gpt2", "GPT-2 small, 16 x 1,024", "tokens/s", "configs/gpt_python.py", changes, others)

    def translation() -> Line:
        rows, length, vocabulary = (2, 16, 512) if tiny else (400, 64, 37_000)
        changes = {"data.batch_tokens": rows * length, "data.max_length": length, "data.buckets": 1}
        changes |= {"data.vocabulary_size": vocabulary} | ({"model.depth": 1} if tiny else {})
        row = "base" if tiny else "big"
        theirs = {"rows": rows, "length": length, "vocabulary": vocabulary, "big": not tiny, **options}
        marian = {"Marian (transformers) compiled": Contestant("translation.marian", theirs, torch=True)}
        title = "Transformer big, 400 x (64 + 64)"
        return line("transformer", title, "target tokens/s", f"configs/transformer_wmt14.py:{row}", changes, marian)

    yield vit("B", 256, 768, 12)
    yield gpt()
    yield vit("S", 512, 384, 6)
    yield translation()


def main(minutes: float, only: str, tiny: bool, folder: str, commit: str) -> int:
    """Measures the lines, and writes record and picture: 0, or 1 if a contestant failed."""
    about = record.clean_provenance(copy_of=commit) if not tiny else {"commit": "tiny shapes"}
    os.environ |= {"XLA_PYTHON_CLIENT_PREALLOCATE": "false"}  # several processes share the device
    begun, known = time.monotonic(), {line.name: line for line in lines(tiny)}
    place = commands.path(folder) if folder else ROOT / ("runs/accelerator" if tiny else "results")
    place.mkdir(parents=True, exist_ok=True)
    path = place / "accelerator.json"
    interpreters = turns.Interpreters(Path(sys.executable), Path(os.environ.get("PEERS_PYTHON") or sys.executable))
    entries, failed = table.recorded(path), []
    for name in commands.chosen([name for name in only.split(",") if name], known):
        left = begun + 60 * minutes - time.monotonic()
        if left < LEAST:
            print(f"{name}: left out, {left:.0f} s are left: --only={name} measures it")
            failed.append(f"{name}: no time left")
            continue
        print(f"{name}: {known[name].title}", flush=True)
        say = partial(print, flush=True)
        entry = turns.measure(known[name], 1 if tiny else 3, interpreters, say, time.monotonic() + left)
        entries[name] = known[name].words | entry | table.machine() | {"commit": about["commit"]}
        failed += [f"{name}: {one}" for one in entry["failed"]]
        table.write(path, "python results/accelerator.py", entries)
        print("  " + "\n  ".join(table.described(entries[name])), flush=True)
    return picture.end(entries, path, failed)


if __name__ == "__main__":
    commands.script(
        main,
        __doc__,
        minutes=dict(default=8.0, type=float, help="after which no line is begun and none is waited for"),
        only=dict(default="", metavar="NAME,...", help=f"lines: {', '.join(line.name for line in lines(False))}"),
        tiny=dict(action="store_true", help="small shapes, on any machine"),
        folder=dict(default="", help="where record and picture go"),
        commit=dict(default="", help="of this code, where it is no git repository"),
    )
