"""The record of `make bench` as a picture: how many times ours is ahead, line by line."""

from pathlib import Path

from results.bench.lines import OURS
from results.bench.table import others, ratio
from results.bench.turns import Entry


def end(entries: dict[str, Entry], record: Path, failed: list[str]) -> int:
    """Draws the picture beside the record and says where both are: the exit status, 1 if a contestant failed."""
    path = record.with_suffix(".png")
    draw(entries, path)
    print(f"The record is {record}, the picture {path}.")
    if failed:
        print(f"Failed: {', '.join(failed)}")
    return 1 if failed else 0


def draw(entries: dict[str, Entry], path: Path) -> None:
    """Writes the picture, if there is anything to show."""
    shown = {entry["title"]: entry for entry in entries.values() if entry["values"].get(OURS) and others(entry)}
    if not shown:
        return
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    names = sorted({name for entry in shown.values() for name in others(entry)})
    colours = dict(zip(names, plt.get_cmap("tab20").colors, strict=False))  # type: ignore[attr-defined]
    figure, axes = plt.subplots(figsize=(10, 0.6 + 0.42 * len(shown)), layout="constrained")
    for row, entry in enumerate(shown.values()):
        axes.axhline(row, color="0.92", zorder=0)
        for name in others(entry):
            axes.plot(ratio(entry, name), row, "o", color=colours[name])
    axes.axvline(1.0, color="black", linewidth=1)
    axes.set_xscale("log")
    ticks = [
        tick
        for tick in (0.02, 0.05, 0.1, 0.25, 0.5, 1, 1.5, 2, 3, 5, 10)
        if axes.get_xlim()[0] <= tick <= axes.get_xlim()[1]
    ]
    axes.set_xticks(ticks, [f"{tick:g}×" for tick in ticks])
    axes.minorticks_off()
    axes.set_yticks(range(len(shown)), list(shown))
    axes.invert_yaxis()
    axes.set_xlabel("ours over theirs: right of 1, ours is ahead")
    handles = [plt.Line2D([], [], marker="o", linestyle="", color=colours[name], label=name) for name in names]
    figure.legend(handles=handles, loc="outside lower center", ncols=4, frameon=False, fontsize="small")
    figure.savefig(path, dpi=150)
    plt.close(figure)
