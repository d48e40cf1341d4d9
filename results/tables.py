"""Writes docs/claims.md, and the numbers of README.md, configs/README.md and docs/plan.md that come from the records.

    python results/tables.py

A block of README.md or docs/plan.md stands between `<!-- NAME -->` and `<!-- end -->`. In the tables of
configs/README.md it is the last cell of a row, or what follows "Recorded: " in it. A test holds the documents equal to
the records.
"""

import re
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

import commands  # noqa: E402
from results import plan_table, summary  # noqa: E402
from results.bench import table as bench  # noqa: E402
from results.rows import page  # noqa: E402

GPU = ROOT / "results" / "accelerator.json"
README, CONFIGS, PLAN = ROOT / "README.md", ROOT / "configs" / "README.md", ROOT / "docs" / "plan.md"


def machines() -> list[list[str]]:
    """The rows of README's machines. What a large model needs is what its plan in docs/plan.md says."""
    plans = plan_table.recorded()

    def command(model: str, machine: str) -> str:
        """What plan.py found to fit."""
        plan = plans[f"{model} on {machine}"]
        change = plan["change"]["flags"] if plan["change"] else ""
        return " ".join(filter(None, (f"--config={plan_table.CONFIGS[model]}", change, "--config.data.data_dir=DIR")))

    def of_two(flags: str) -> str:
        """The flags for twice as many devices: half the micro-batches, of as many examples a device."""
        return re.sub(r"accumulate=(\d+)", lambda found: f"accumulate={int(found[1]) // 2}", flags)

    return [
        ["laptop", "`make train`, or `python train.py --config=configs/vit_fashion_mnist.py:hour`"],
        [
            "one GPU",
            '`pip install -r requirements.txt "jax[cuda13]==0.10.2"`, then `python train.py '
            "--config=configs/vit_cifar10.py --config.model.dtype=bfloat16`",
        ],
        ["8 GPUs (H100)", f"`python train.py {command('ViT-B/16', 'h100x8')}`"],
        [
            "one TPU host (v6e-8)",
            '`pip install -r requirements.txt "jax[tpu]==0.10.2"`, then `python train.py '
            f"{command('ViT-L/16', 'v6e:2x4')}`",
        ],
        [
            "SLURM (2 x 8 H100)",
            f"`sbatch --nodes=2 --gpus-per-node=8 launch/slurm.sh {of_two(command('ViT-H/14', 'h100x8'))}`",
        ],
        [
            "Kubernetes, a TPU pod",
            "`launch/kubernetes.sh ...`, `launch/tpu.sh ...`: see [launch/](launch/README.md)",
        ],
    ]


def cell(plan: plan_table.Plan | None) -> str:
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


def plans() -> str:
    """The table of docs/plan.md."""
    recorded = plan_table.recorded()
    devices = {plan["machine"]["name"]: plan["machine"]["memory_bytes"] for plan in recorded.values()}
    head = [f"{name} ({devices[name] / 1e9:.1f} GB)" for name in plan_table.MACHINES if name in devices]
    rows = [
        [model, *(cell(recorded.get(f"{model} on {name}")) for name in plan_table.MACHINES if name in devices)]
        for model in plan_table.CONFIGS
    ]
    return markdown(["", *head], rows)


def markdown(head: list[str], rows: list[list[str]]) -> str:
    """A table."""
    return "\n".join(f"| {' | '.join(row)} |" for row in [head, ["---"] * len(head), *rows])


def block(text: str, name: str, content: str) -> str:
    """The document with the block of this name written anew."""
    found, times = re.subn(
        rf"(<!-- {name} -->\n).*?(\n<!-- end -->)", lambda match: match[1] + content + match[2], text, flags=re.DOTALL
    )
    assert times == 1, name
    return found


def cells(text: str) -> str:
    """configs/README.md with the results in its rows."""
    by_row: dict[str, list[str]] = {}
    for result in summary.results():
        by_row.setdefault(result.row, []).append(f"{result.text} ([record](../results/{result.source}))")
    for row, texts in by_row.items():
        found = rf"^(\| `{re.escape(row)}`.*\| (?:[^|]*Recorded: )?)[^|]*( \|)$"
        content = "; ".join(texts)
        text, times = re.subn(found, rf"\g<1>{content}\g<2>", text, flags=re.MULTILINE)
        assert times == 1, row
    return text


def written() -> dict[Path, str]:
    """The documents as the records have them."""
    readme = README.read_text()
    for name, content in {
        "results": "\n\n".join(
            markdown([family, "Result", "Time, two CPU cores", "Record"], [result.cells for result in results])
            for family, results in summary.families().items()
            if results
        ),
        "measured": markdown(["Measured on two CPU cores", "", "Record"], summary.measured()),
        "bench": markdown(bench.HEAD, bench.rows(ROOT / "results" / "bench.json")),
        "accelerator": markdown(bench.HEAD, bench.rows(GPU)) if GPU.exists() else "Not measured yet.",
        "machines": markdown(["Machine", "Command"], machines()),
    }.items():
        readme = block(readme, name, content)
    return {
        README: readme,
        CONFIGS: cells(CONFIGS.read_text()),
        PLAN: block(PLAN.read_text(), "table", plans()),
        page.PAGE: page.text(),
    }


def main() -> None:
    """Writes the documents."""
    for path, text in written().items():
        path.write_text(text)


if __name__ == "__main__":
    commands.script(main, __doc__)
