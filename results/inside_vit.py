"""What a ViT has learned, its filters, positions and attention: python results/inside_vit.py [--data_dir=FOLDER]

A ViT classifies garments of Fashion-MNIST, each at a random place of a canvas of 56 pixels, over pieces of three other
garments. The pixels of the garment are known, and so it is counted how often the patch that attention rollout
weighs most has some of them. The same is measured of the model before training. Three seeds. Writes
results/inside_vit.json, and pictures of the first seed in results/inside_vit. Runs are kept in runs/inside_vit, from
which a second start resumes. A trial, which writes no record: --steps=4.
"""

import json
import shutil
import sys
from pathlib import Path

import jax
import numpy as np
from jaxtyping import Bool, Float, UInt8
from scipy.spatial.distance import cdist

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

import commands  # noqa: E402
from analysis import attention, drawing  # noqa: E402
from analysis.figures import distance, filters, positions, rollout  # noqa: E402
from analysis.subject import Subject  # noqa: E402
from experiment import record, restore  # noqa: E402
from results import trained, transfer  # noqa: E402

RECORD, PICTURES = ROOT / "results" / "inside_vit.json", ROOT / "results" / "inside_vit"
RUNS, SEEDS = Path("runs", "inside_vit"), 3
SIDE, PIECE, PIECES = 56, 14, 3  # pixels of a canvas, and of a piece of another garment; their number
IMAGES = {"train": 20_000, "test": 1_000}
FIGURES = ("filters", "positions", "distance", "rollout")
COMPONENTS = 8  # of the filters' 49
FLAGS = [
    *("--config=configs/vit_fashion_mnist.py", "--config.data.source=arrays", "--config.data.train_split=train"),
    *(f"--config.data.image_size={SIDE}", "--config.model.patch=7", "--config.model.head=token"),
    *("--config.model.positions=learned", "--config.steps=2000", "--config.optim.warmup_steps=200"),
    *("--config.optim.learning_rate=1e-3", "--config.evaluation.every_steps=0", "--config.evaluation.page=False"),
    *("--config.checkpoint.keep_best=", "--config.checkpoint.every_steps=1000"),
]


def main(data_dir: str, steps: int) -> None:
    """Trains, measures, and writes record and pictures. steps: of a trial; 0 for the full length."""
    about = record.clean_provenance()
    folder = RUNS / f"trial-{steps}" if steps else RUNS
    flags = [*FLAGS, f"--config.data.name={archive(data_dir)}"]
    flags += [f"--config.steps={steps}", f"--config.optim.warmup_steps={steps // 4}"] if steps else []
    with np.load(ROOT / archive(data_dir), allow_pickle=False) as arrays:
        masks = arrays["test_masks"] > 0
    runs: list[record.Record] = []
    for seed in range(1 if steps else SEEDS):
        workdir = folder / f"seed-{seed}"
        found = trained.run(workdir, [*flags, f"--config.seed={seed}"])
        for state in ("untrained", "trained"):
            found[state] = measured(subject(ROOT / workdir, trained=state == "trained"), masks)
        runs.append(found)
    drawn = ROOT / folder / "figures"
    for line in drawing.draw(subject(ROOT / folder / "seed-0"), FIGURES, drawn):
        print(line)
    result: record.Record = {
        "expected": "filters of fewer dimensions, near positions alike, attention that reaches farther with depth, and "
        "the most attended patch on the garment more often than by chance",
        "runs": runs,
    }
    if steps:
        print(json.dumps(result, indent=2), "A trial: no record is written.", sep="\n")
        return
    RECORD.write_text(json.dumps(result | about, indent=2) + "\n")
    PICTURES.mkdir(exist_ok=True)
    for name in FIGURES:
        shutil.copy(drawn / f"{name}.png", PICTURES)
    print(json.dumps(result, indent=2), f"Written to {RECORD} and {PICTURES}.", sep="\n")


def archive(data_dir: str) -> Path:
    """Writes the canvases with the garments' pixels, unless they are there."""
    path = RUNS / "canvases.npz"
    if not (ROOT / path).exists():
        arrays: dict[str, np.ndarray] = {}
        for number, (split, count) in enumerate(IMAGES.items()):
            images, labels = (part[:count] for part in transfer.of_split(split, data_dir))
            canvases, masks = composed(images[..., 0], np.random.default_rng(number))
            arrays |= {f"{split}_images": canvases, f"{split}_labels": labels, f"{split}_masks": masks}
        (ROOT / RUNS).mkdir(parents=True, exist_ok=True)
        np.savez(ROOT / path, **arrays)  # type: ignore[arg-type]
    return path


def composed(
    images: UInt8[np.ndarray, "n height width"], rng: np.random.Generator
) -> tuple[UInt8[np.ndarray, "n SIDE SIDE 1"], UInt8[np.ndarray, "n SIDE SIDE"]]:
    """Each image at a random place of a canvas, over pieces of others; and 255 where its pixels are not 0."""
    count, garment = len(images), images.shape[1]
    canvases, masks = (np.zeros((count, SIDE, SIDE), np.uint8) for _ in range(2))
    for canvas, mask, image in zip(canvases, masks, images, strict=True):
        for other in images[rng.integers(count, size=PIECES)]:
            (y, x), (row, column) = (rng.integers(side - PIECE + 1, size=2) for side in (SIDE, garment))
            canvas[y : y + PIECE, x : x + PIECE] = other[row : row + PIECE, column : column + PIECE]
        top, left = rng.integers(SIDE - garment + 1, size=2)
        place = np.s_[top : top + garment, left : left + garment]
        canvas[place] = np.where(image > 0, image, canvas[place])
        mask[place] = 255 * (image > 0)
    return canvases[..., None], masks


def subject(workdir: Path, trained: bool = True) -> Subject:
    """A run with the weights of its last step, or with those it began with."""
    run = restore.parts(restore.saved_config(workdir), workdir)

    def variables() -> dict:
        state = restore.load(workdir)[1] if trained else run.initialise()
        return jax.device_get(run.devices.get_state(state).eval_variables)

    return Subject(run=run, restore=variables, load=restore.latest)


def measured(seen: Subject, masks: Bool[np.ndarray, "n SIDE SIDE"]) -> record.Record:
    """The numbers of a model.

    Args:
      masks: which pixels of the first evaluation images are the garment's.

    Returns:
      of the filters' variance the share that the first COMPONENTS hold; of all pairs of positions the correlation of
      their similarity with their nearness, and how much more similar they are 5 patches along a row or a column than 5
      patches across, 3 by 4; the mean attention distance by layer and head, and that of uniform attention, in pixels;
      how often the most attended patch has pixels of the garment, and the share of such patches.
    """
    _, variance = filters.principal_components(seen.weights["embedding/kernel"])
    similar = positions.arrays(seen)["similarity"]
    heads = distance.arrays(seen)
    hits, chance = pointing(seen, masks)
    near, along = structure(similar)
    return {
        "variance of the first components": float(variance[:COMPONENTS].sum()),
        "similarity by nearness": near,
        "similarity along minus across": along,
        "attention distance": heads["distance"].round(2).tolist(),
        "uniform distance": float(heads["uniform"]),
        "pointing": hits,
        "chance of pointing": chance,
    }


def structure(similar: Float[np.ndarray, "R C R C"]) -> tuple[float, float]:
    """Correlation of similarity with nearness, and how much more similar positions are 5 along than 3 by 4 across."""
    rows, columns = similar.shape[:2]
    place = np.indices((rows, columns)).reshape(2, -1).T
    similar = similar.reshape(len(place), -1)
    apart, step = cdist(place, place), np.abs(place[:, None] - place).min(-1)
    pairs = apart > 0
    near = np.corrcoef(similar[pairs], -apart[pairs])[0, 1]
    five = np.isclose(apart, 5)
    return float(near), float(similar[five & (step == 0)].mean() - similar[five & (step > 0)].mean())


def pointing(seen: Subject, masks: Bool[np.ndarray, "n SIDE SIDE"]) -> tuple[float, float]:
    """How often the patch with the most attention, by rollout, has pixels of the garment; the share of such patches."""
    rows, columns = seen.grid
    blocks = masks.reshape(len(masks), rows, SIDE // rows, columns, SIDE // columns)
    garment = blocks.any((2, 4)).reshape(len(masks), -1)
    most = [
        np.einsum("bq,bqk->bk", one.reading, rollout.rollout(np.asarray(one.attention)))[:, seen.extra :].argmax(-1)
        for one in attention.passes(seen.model, seen.variables, seen.images(len(masks)))
    ]
    return float(np.take_along_axis(garment, np.concatenate(most)[:, None], 1).mean()), float(garment.mean())


if __name__ == "__main__":
    commands.script(main, __doc__, data_dir=dict(default=""), steps=dict(type=int, default=0))
