"""HTML as text: elements, whose content is escaped, and a whole page in one file."""

import base64
import hashlib
import json
from collections.abc import Iterable
from html import escape
from pathlib import Path
from string import Template

from errors import UserError

ASSETS = Path(__file__).parent / "assets"
VOID = ("img", "input", "br", "col")  # elements that have no end


class Html(str):
    """Text that is HTML already. All other text is escaped where it becomes part of an element."""


def element(tag: str, *content: object, **attributes: object) -> Html:
    """An element, such as element("a", "text", href="#x").

    Args:
      tag: its name.
      *content: text, elements, or None for nothing.
      **attributes: a name with an underscore at its end (`class_`) is without it, other underscores are hyphens;
        True is an attribute without a value, None and False are none.
    """
    words = [tag]
    for name, value in attributes.items():
        if value is not None and value is not False:
            name = name.rstrip("_").replace("_", "-")
            words.append(name if value is True else f'{name}="{escape(str(value))}"')
    start = f"<{' '.join(words)}>"
    return Html(start if tag in VOID else f"{start}{joined(content)}</{tag}>")


def joined(content: Iterable[object]) -> Html:
    """Text and elements one after the other."""
    return Html("".join(x if isinstance(x, Html) else escape(str(x)) for x in content if x is not None))


def section(name: str, title: str, *content: object) -> Html:
    """A part of the page, with the heading that leads to it."""
    heading = element("h2", title, id=f"{name}-title")
    return element("section", heading, *content, id=name, aria_labelledby=f"{name}-title")


def table(head: Iterable[object], rows: Iterable[Iterable[object]], class_: str, box: str = "scroll") -> Html:
    """A table in a box that scrolls. The first cell of a row is its heading. Cells may be elements "td" or "th"
    themselves. class_, box: classes of the table and of the box."""
    columns = [_cell(cell, "th", scope="col") for cell in head]
    lines = [
        element("tr", *[_cell(cell, "td" if i else "th", scope=None if i else "row") for i, cell in enumerate(row)])
        for row in rows
    ]
    whole = element("table", element("thead", element("tr", *columns)), element("tbody", *lines), class_=class_)
    return element("div", whole, class_=box)


def _cell(cell: object, tag: str, **attributes: object) -> Html:
    return cell if isinstance(cell, Html) and cell.startswith(("<td", "<th")) else element(tag, cell, **attributes)


def page(title: str, body: Html, data: object = None, scripts: Iterable[str] = ()) -> str:
    """The whole file.

    Args:
      title: of the window.
      body: what stands in the page.
      data: JSON that the scripts read.
      scripts: names of files of assets/, without the ending, in their order: one module.
    """
    code = "".join(f"\n{(ASSETS / f'{name}.js').read_text()}" for name in scripts)
    digest = base64.b64encode(hashlib.sha256(code.encode()).digest()).decode()
    allowed = f"'sha256-{digest}'" if code else "'none'"
    policy = f"default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src {allowed}; base-uri 'none'"
    text = json.dumps(data, separators=(",", ":"), allow_nan=False).replace("<", "\\u003c")
    parts = [
        Html(f'<script type="application/json" id="data">{text}</script>') if data is not None else None,
        Html(f'<script type="module">{code}</script>') if code else None,
    ]
    return Template((ASSETS / "page.html").read_text()).substitute(
        policy=escape(policy, quote=False),
        title=escape(title),
        style=(ASSETS / "page.css").read_text(),
        body=body,
        scripts=joined(parts),
    )


def write(text: str, path: Path) -> None:
    """Writes a page.

    Raises:
      UserError: a file that cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise UserError(f"cannot write {path}: {error.strerror}.") from None
