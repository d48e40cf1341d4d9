"""A hook of a user's own, which writes down what it is told."""

import json
from pathlib import Path

OWN = """
import json

class Hook:
    def _tell(self, *what):
        with open({told!r}, "a") as told:
            print(json.dumps(what), file=told)

    def begin(self, config, workdir, step):
        self._tell("begin", config["model"]["name"], workdir.name, step)

    def log(self, step, metrics):
        self._tell("log", step, metrics)
        {then}

    def figure(self, step, name, path):
        self._tell("figure", step, name, path.exists())

    def end(self, status):
        self._tell("end", status)
"""


def own(tmp_path: Path, then: str = "pass") -> tuple[str, Path]:
    """A hook of the user's, and where it writes what it is told."""
    file, told = tmp_path / "my hook.py", tmp_path / "told"
    file.write_text(OWN.format(told=str(told), then=then))
    return str(file), told


def heard(told: Path) -> list:
    return [json.loads(line) for line in told.read_text().splitlines()]
