"""The figures that were drawn of a run, from RUN/figures or where visualize.py was to draw them."""

from pathlib import Path

from analysis.page import pack
from analysis.page.html import Html, element, section
from errors import command

ROOM = 1_300_000  # bytes of all pictures


def figures(folder: Path) -> list[Path]:
    """The pictures of a folder and those of its newest step, each name once."""
    steps = sorted((x for x in folder.glob("*") if x.is_dir() and x.name.isdigit()), key=lambda x: -int(x.name))
    found: dict[str, Path] = {}
    for place in (folder, *steps[:1]):
        for path in sorted(place.glob("*.png")):
            found.setdefault(path.stem, path)
    return list(found.values())


def part(workdir: Path, folder: Path) -> Html:
    """The section, or how to draw figures. Where there is no room for all pictures, the largest are only named.

    Args:
      workdir: of the run.
      folder: of its figures.
    """
    found = figures(folder)
    draw = ("visualize.py", f"--workdir={workdir}")
    if not found:
        hint = element(
            "p", "None were drawn yet. ", element("code", command(*draw)), " draws all that this model supports, "
        )
        then = element("p", element("code", command(*draw, "page")), " then puts them here.")
        return section("figures", "Figures", element("div", hint, then, class_="empty"))
    room, shown = ROOM, []
    for path in sorted(found, key=lambda path: path.stat().st_size):
        room -= path.stat().st_size
        shown += [path] * (room >= 0)
    pictures = [
        element(
            "figure",
            element("img", src=f"data:image/png;base64,{pack.based(path.read_bytes())}", alt=path.stem, loading="lazy"),
            element("figcaption", path.stem.replace("_", " ")),
        )
        for path in found
        if path in shown
    ]
    missing = ", ".join(str(path) for path in found if path not in shown)
    return section(
        "figures",
        "Figures",
        element("div", *pictures, class_="gallery"),
        element("p", f"Too large for this page: {missing}", class_="note") if missing else None,
    )
