"""Plans of the large configs for six machines: python results/plan_table.py [MACHINE ...]

Writes results/plan_table.json, the table of docs/plan.md and two whole pages in docs/. A plan that exists is kept:
delete it from the JSON to renew it. Needs libtpu and JAX's CUDA plugin, see docs/plan.md. Takes hours on two cores.
"""

import json
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from experiment import record  # noqa: E402

Plan = dict[str, Any]  # Any: the JSON that plan.py writes
RECORD, DOCS = ROOT / "results" / "plan_table.json", ROOT / "docs" / "plan.md"
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


def cell(plan: Plan | None) -> str:
    """A plan in short: the change it needs, GB a device, time of a step and of the run."""
    if plan is None:
        return ""
    change = plan["change"]
    if change and not change["flags"]:
        return "fits by none of the changes"
    memory = (change["program"] if change else plan["program"])["memory"]
    flags = (
        re.sub(r"--config\.\w+\.", "", change["flags"].replace("--config.parallel.mode=mesh ", "")) if change else ""
    )
    step, hours = plan["step"]["seconds"], plan["hours"]["seconds"]
    time = f"{step:.2f} s" if step >= 1 else f"{1000 * step:.0f} ms"
    total = f"{hours:,.{1 if hours < 10 else 0}f} h"
    return f"{f'`{flags}` ' if flags else ''}{sum(memory.values()) / 1e9:.1f} GB, {time}, {total}"


def table(plans: dict[str, Plan]) -> str:
    """The Markdown table of all plans."""
    devices = {m: next((p["machine"] for p in plans.values() if p["machine"]["name"] == m), None) for m in MACHINES}
    head = [f"{m} ({d['memory_bytes'] / 1e9:.1f} GB)" if d else m for m, d in devices.items()]
    rows = [["", *head], ["---"] * (len(head) + 1)]
    rows += [[model, *(cell(plans.get(f"{model} on {machine}")) for machine in MACHINES)] for model in CONFIGS]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def recorded() -> dict[str, Plan]:
    """The plans of the record."""
    return json.loads(RECORD.read_text()) if RECORD.exists() else {}


def main() -> None:
    """Makes the plans that are missing, and writes record, table and pages."""
    record.clean_commit()
    for machine in sys.argv[1:] or MACHINES:
        for model in sorted(CONFIGS, key=lambda model: (model, machine) not in PAGES):
            name = f"{model} on {machine}"
            if name not in recorded():
                print(name, flush=True)
                made = make(model, machine)
                plans = recorded() | {name: made}  # read again: another process may have added a plan
                RECORD.write_text(json.dumps(plans, indent=2) + "\n")
                text = re.sub(
                    r"(<!-- table -->\n).*?(<!-- end -->)", rf"\1{table(plans)}\n\2", DOCS.read_text(), flags=re.S
                )
                DOCS.write_text(text)


if __name__ == "__main__":
    main()
