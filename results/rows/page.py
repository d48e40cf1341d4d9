"""docs/claims.md, from the records."""

from collections import Counter
from pathlib import Path

from results.rows import (
    ROOT,
    Claim,
    Recorded,
    Studied,
    Verdict,
    attention,
    dense,
    embeddings,
    inside,
    large,
    parts,
    published,
    recurrence,
    scaling,
    sizes,
    unified,
    vision,
)

PAGE: Path = ROOT / "docs" / "claims.md"
PARTS = {
    "Attention Is All You Need": (*attention.CLAIMS, *parts.CLAIMS, *embeddings.CLAIMS, *sizes.CLAIMS),
    "Recurrence and attention": recurrence.CLAIMS,
    "An Image is Worth 16x16 Words": (*vision.CLAIMS, *inside.CLAIMS, *scaling.CLAIMS),
    "What came of ViT": dense.CLAIMS,
    "Other modalities, and without labels": unified.CLAIMS,
    "Small models that others published": published.CLAIMS,
    "What needs accelerators": large.CLAIMS,
}
CLAIMS: tuple[Claim, ...] = tuple(claim for part in PARTS.values() for claim in part)
HEAD = "| Claim | Where | Paper | Measured here | Verdict | Command, record |\n| --- | --- | --- | --- | --- | --- |"


def summary() -> str:
    """How many rows hold, and so on."""
    counts = Counter(claim.found().verdict for claim in CLAIMS)
    counted = f"{len(CLAIMS)} claims: " + ", ".join(f"{v} {counts[v]}" for v in Verdict if counts[v]) + "."
    missing = {
        claim.command: claim.evidence.minutes
        for claim in CLAIMS
        if claim.found().verdict is Verdict.OPEN and isinstance(claim.evidence, Recorded | Studied)
    }
    return counted + f" What is not measured takes about {sum(missing.values()) / 60:.0f} hours on two cores."


def row(claim: Claim) -> str:
    """A line of a table."""
    found = claim.found()
    verdict = f"**{found.verdict}**" + (f": {found.why}" if found.why else "")
    source = f"`{claim.command}`"
    if claim.evidence.record and (found.measured or found.verdict is Verdict.ACCELERATOR):
        at = ", ".join(commit[:7] for commit in found.commits)
        source += f"; [{Path(claim.evidence.record).name}](../results/{claim.evidence.record})" + f", at {at}" * bool(
            at
        )
    if found.figure:
        source += f"; [figure](../{found.figure})"
    cells = (f"<a id={claim.name}></a>{claim.text}", claim.where, claim.paper, found.measured, verdict, source)
    return f"| {' | '.join(cells)} |"


def text() -> str:
    """The page."""
    parts = [f"## {title}\n\n{HEAD}\n" + "\n".join(map(row, claims)) for title, claims in PARTS.items()]
    return (
        "# The claims of the two papers\n\nMade from the records of `results/` by `python results/claims.py --table`. "
        "`python results/claims.py` measures what is missing; `--only=ROW` one row.\n\n"
        f"{summary()}\n\n" + "\n\n".join(parts) + "\n"
    )
