"""Commands as a person types them, run in the process of the tests, so that jax starts once."""

import contextlib
import io
import os
import runpy
import sys
from pathlib import Path
from typing import NamedTuple
from unittest import mock

from absl import flags

import commands

ROOT = Path(__file__).parents[1]


class Done(NamedTuple):
    """What a command came to: its exit status, and what it printed."""

    returncode: int
    stdout: str
    stderr: str


def command(*arguments: object, stdin: bytes = b"") -> Done:
    """Runs `python ARGUMENTS` to its end: command("train.py", "--config=...")."""
    argv = [str(argument) for argument in arguments]
    before, status = set(flags.FLAGS), 0
    out, err, given = io.StringIO(), io.StringIO(), io.TextIOWrapper(io.BytesIO(stdin))
    with (
        mock.patch.object(sys, "argv", argv),
        mock.patch.dict(os.environ),
        mock.patch.object(sys, "stdin", given),
        mock.patch.object(sys, "unraisablehook", sys.unraisablehook),
        mock.patch.object(sys, "excepthook", sys.excepthook),
        mock.patch.object(commands, "defined", []),
        mock.patch.object(commands, "listings", {}),
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
    ):
        try:
            runpy.run_path(str(ROOT / argv[0]), run_name="__main__")
        except SystemExit as end:
            status = int(end.code or 0)
        finally:
            for name in set(flags.FLAGS) - before:
                delattr(flags.FLAGS, name)
            flags.FLAGS.unparse_flags()
    return Done(status, out.getvalue(), err.getvalue())
