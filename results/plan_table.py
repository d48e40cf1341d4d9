"""Plans of the large configs for six machines: python results/plan_table.py [MACHINE ...]

Writes results/plan_table.json, from which results/tables.py makes the table of docs/plan.md, and two whole pages in
docs/. A plan that exists is kept: delete it from the JSON to renew it. Needs libtpu and JAX's CUDA plugin, see
docs/plan.md. Takes hours on two cores.
"""

import json
import re
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

import commands  # noqa: E402
from experiment import record  # noqa: E402
from planning.page import Plan  # noqa: E402

RECORD = ROOT / "results" / "plan_table.json"
CONFIGS = {
    "ViT-B/16": "configs/vit_imagenet.py:B/16",
    "ViT-L/16": "configs/vit_imagenet.py:L/16",
    "ViT-H/14": "configs/vit_imagenet.py:H/14",
    "Transformer base": "configs/transformer_wmt14.py:base",
    "Transformer big": "configs/transformer_wmt14.py:big",
}
MACHINES = ("v5e:4x4", "h100x8", "v6e:2x4", "a100x8", "v3-8", "h200x8")
PAGES = (("ViT-H/14", "v5e:4x4"), ("ViT-H/14", "h100x8"))


def make(model: str, machine: str) -> Plan:
    """One plan. Its page is written too if it is one of PAGES."""
    arguments = ["plan.py", f"--config={CONFIGS[model]}", f"--topology={machine}"]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "plan.json")
        command = [sys.executable, *arguments, f"--json={path}"]
        done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
        if not path.exists():
            sys.exit(done.returncode)
        if (model, machine) in PAGES:
            page = re.sub(r"\n\nAs JSON: .*\n", "\n", done.stdout)
            name = f"plan_{model}_{machine}".lower().replace("/", "").replace(":", "_").replace("-", "_")
            (ROOT / "docs" / f"{name}.txt").write_text(f"$ python {' '.join(arguments)}\n\n{page}")
        return {"command": f"python {' '.join(arguments)}"} | json.loads(path.read_text())


def recorded() -> dict[str, Plan]:
    """The plans of the record."""
    return json.loads(RECORD.read_text()) if RECORD.exists() else {}


def main(machines: list[str]) -> None:
    """Makes the plans that are missing, and writes record and pages."""
    about = record.clean_provenance()
    for machine in commands.chosen(machines, MACHINES):
        for model in sorted(CONFIGS, key=lambda model: (model, machine) not in PAGES):
            name = f"{model} on {machine}"
            if name not in recorded():
                print(name, flush=True)
                made = make(model, machine) | {"commit": about["commit"]}
                plans = recorded() | {name: made}  # read again: another process may have added a plan
                RECORD.write_text(json.dumps(plans, indent=2) + "\n")


if __name__ == "__main__":
    commands.script(main, __doc__, machines=dict(nargs="*", metavar="MACHINE"))
