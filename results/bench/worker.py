"""One contestant in a process of its own: python results/bench/worker.py FILE.FUNCTION '{"argument": value}'

FILE is a module of contestants/. FUNCTION builds what is measured and returns it as a function: a call does some work
and returns how much, such as images, or what it measured; see also contestants.here.Measured. The process talks in
lines of JSON: {"ready": versions} or {"absent": reason} once it is built. Then, for each line of standard input, a
number of seconds: {"value": units a second} after working for so long, or for 0 {"value": what one call returned}; for
"facts": {"facts": what is to be said besides}. Needs nothing but Python itself.
"""

import importlib
import importlib.metadata
import json
import os
import sys
import time
from collections.abc import Callable

from contestants.here import Absent, Measured

PACKAGES = ("jax", "flax", "optax", "tensorflow-cpu", "pillow", "torch", "timm", "transformers", "ctranslate2")


def versions() -> dict[str, str]:
    """The installed of PACKAGES."""
    found = {}
    for package in PACKAGES:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def rate(work: Callable[[], float], seconds: float) -> float:
    """Units a second of repeated calls, for at least so many seconds."""
    begun, units = time.perf_counter(), 0.0
    while (passed := time.perf_counter() - begun) < seconds:
        units += work()
    return units / passed


def main(name: str, arguments: str) -> None:
    """Builds the contestant and measures it as often as standard input asks."""
    told = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # what libraries print is no answer
    try:
        file, function = name.split(".")
        built = getattr(importlib.import_module(f"contestants.{file}"), function)(**json.loads(arguments))
    except Absent as reason:
        print(json.dumps({"absent": str(reason)}), file=told)
        return
    print(json.dumps({"ready": versions()}), file=told)
    work, facts = (built.work, built.facts) if isinstance(built, Measured) else (built, dict)
    for line in map(str.strip, sys.stdin):
        if line == "facts":
            answer: dict[str, object] = {"facts": facts()}
        else:
            answer = {"value": rate(work, float(line)) if float(line) else work()}
        print(json.dumps(answer), file=told)


if __name__ == "__main__":
    main(*sys.argv[1:])
