"""What a person is told when something they wrote cannot be done."""

import difflib
from collections.abc import Iterable


class UserError(Exception):
    """A mistake that the user can mend. Its message is one line that names the mend; a command prints it and exits
    with 2."""


class DiskFull(UserError):
    """There is no space left. What waits to be written cannot be, so that commands end without trying it."""


def nearest(name: str, known: Iterable[str]) -> str:
    """The end of an error line about an unknown name: the closest known one, and all of them."""
    known = sorted(known)
    close = difflib.get_close_matches(str(name), known, n=1)
    hint = f"did you mean {close[0]!r}? " if close else ""
    return f"{hint}There is: {', '.join(known) or 'nothing'}."


def shown(text: str) -> str:
    """A path, a name or an argument as it can be printed: bytes that are not UTF-8 as \\xe9."""
    return text.encode(errors="surrogateescape").decode(errors="backslashreplace")
