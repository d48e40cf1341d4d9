"""A plan as one page of text."""

from lookup import Json

Plan = Json  # what plan.py writes


def text(plan: Plan) -> str:
    """The page of a plan."""
    blocks = [_title, _surroundings, _model, _memory, _time]
    return "\n\n".join("\n".join(block(plan)) for block in blocks)


def _title(plan: Plan) -> list[str]:
    """The config and the machine."""
    machine = plan["machine"]
    hosts = f"{machine['hosts']} host{'s' * (machine['hosts'] > 1)}"
    lines = [
        f"{plan['config']} on {machine['name']}",
        f"  {machine['devices']} x {machine['kind']} on {hosts}, {gigabytes(machine['memory_bytes'])} each; "
        f"{plan['parallel']}",
    ]
    return lines + [f"  {note}" for note in plan["notes"]]


def _surroundings(plan: Plan) -> list[str]:
    """Libraries, data and workdir."""
    versions, data, workdir = plan["versions"], plan["data"], plan["workdir"]
    if versions["tested"]:
        tested = "as in requirements.txt, tested together"
    else:
        differ = (f"{name} {versions['installed'][name]}, not {pin}" for name, pin in versions["differ"].items())
        tested = f"not a tested set: {'; '.join(differ)}"
    shown = " ".join(f"{n} {versions['installed'][n]}" for n in ("python", "jax", "flax") if n in versions["installed"])
    room = "" if workdir["room"] else ", TOO LITTLE"
    saved = f"{workdir['checkpoints']} x {gigabytes(workdir['checkpoint_bytes'])}"
    place = "writable" if workdir["writable"] else "NOT WRITABLE"
    return [
        f"Versions     {shown}: {tested}",
        f"Data         {data['lines'][0]}",
        *(f"             {line}" for line in data["lines"][1:]),
        f"Workdir      {workdir['path']}: {place}; checkpoints take {saved}, {gigabytes(workdir['free_bytes'])} free"
        f"{room}",
    ]


def _model(plan: Plan) -> list[str]:
    """Parameters by part, FLOPs, and how attention is computed."""
    parts = plan["parameters"]["parts"]
    width = max(map(len, parts))
    total = plan["parameters"]["total"]
    batch = ", ".join(f"{name} {'x'.join(map(str, shape))}" for name, shape in plan["batch"].items())
    return [
        f"Parameters   {total:,}",
        *(f"             {name:{width}}  {size:>13,}  {size / total:5.1%}" for name, size in parts.items()),
        f"A step       {plan['flops_a_step'] / 1e12:,.4g} TFLOP, forward and backward; its largest batch: {batch}",
        *(f"             {line}" for line in plan["attention"]),
    ]


def _memory(plan: Plan) -> list[str]:
    """Memory of the program and, if it does not fit, of the nearest change that does."""
    program, change = plan["program"], plan["change"]
    lines = ["Memory a device, of the program compiled for it", *_kinds(program)]
    if change is None:
        return lines
    if change["flags"] is None:
        return [*lines, "", f"None of {len(change['tried'])} changes fits: take a larger machine or a smaller batch."]
    fits = f"The nearest change that fits, of {len(change['tried'])} that were tried or ruled out: {change['flags']}"
    return [*lines, "", fits, *_kinds(change["program"])]


def _kinds(program: Plan) -> list[str]:
    """A table of memory by kind, with the verdict."""
    memory, limit = program["memory"], program["limit"]
    total = sum(memory.values())
    share = f"{total / limit:.0%} of {gigabytes(limit)}"
    verdict = f"fits: {share}" if program["fits"] else f"DOES NOT FIT: {share}"
    if program["fits"] and program["needs_fraction"]:
        verdict += "; set XLA_PYTHON_CLIENT_MEM_FRACTION=.92"
    rows = [(kind, size) for kind, size in memory.items() if size or kind in ("parameters", "optimizer", "temporaries")]
    table = [f"             {kind:16}  {gigabytes(size):>10}" for kind, size in rows]
    return [*table, f"             {'total':16}  {gigabytes(total):>10}  {verdict}"]


def _time(plan: Plan) -> list[str]:
    """Time of a step and of the run."""
    step, hours = plan["step"], plan["hours"]
    if step is None:
        return ["Time         not estimated: the program does not fit"]
    between = f"{seconds(step['low'])} to {seconds(step['high'])}"
    flags = f", with {plan['change']['flags']}" if plan["change"] else ""
    return [
        f"Time a step  {seconds(step['seconds'])} ({between}){flags}",
        f"             {step['how']}",
        f"In all       {plan['steps']:,} steps, {_hours(hours['seconds'])} "
        f"({_hours(hours['low'])} to {_hours(hours['high'])}), without evaluation and waiting for input",
    ]


def gigabytes(count: float) -> str:
    """Bytes as "1.23 GB" or "1.23 MB"."""
    return f"{count / 1e9:,.2f} GB" if count >= 1e9 else f"{count / 1e6:,.2f} MB"


def seconds(count: float) -> str:
    """Seconds as "1.23 s" or "123.4 ms"."""
    return f"{count:,.2f} s" if count >= 1 else f"{1000 * count:,.1f} ms"


def _hours(count: float) -> str:
    """Hours as "1.2 hours" or "12.3 minutes"."""
    return f"{count:,.1f} hours" if count >= 1 else f"{60 * count:,.1f} minutes"
