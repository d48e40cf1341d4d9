"""docs/claims.md, from the records."""

from collections import Counter
from collections.abc import Iterable
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


MULTI30K = """for language in de en; do
  for file in train:train val:validation test_2016_flickr:test; do
    curl -sL https://github.com/multi30k/dataset/raw/master/data/task1/raw/${file%:*}.$language.gz |
      gunzip > DIR/multi30k/${file#*:}.$language
  done
done"""
RULES = """\
The verdict of a row follows from its numbers by a rule that was written for the row (`results/rows/`):

- **holds**: the claimed difference is larger than its interval, or the published number is reached.
- **holds in direction**: the means, or only a part of the claim, say so. A difference that is smaller than its interval
  may be chance.
- **does not hold at this size**: the means say something else. That a larger model or more data would say the same does
  not follow.

"±" is half a 95 % interval, by Student's t over the seeds unless the row says otherwise. Where both sides of a
comparison have the same seeds and data, their differences are taken by seed."""


def brings(data: str) -> str:
    """The command that brings data into DIR."""
    if data == "multi30k":
        return f"mkdir -p DIR/multi30k\n{MULTI30K}"
    return f"python -c \"import tensorflow_datasets as t; t.load('{data}', data_dir='DIR')\""


def commands() -> str:
    """What brings the data of all rows."""
    names = dict.fromkeys(claim.evidence.data for claim in CLAIMS if claim.evidence.data)
    return "\n".join(map(brings, names))


def total(claims: Iterable[Claim]) -> str:
    """How long it takes to measure rows that train. A command counts once."""
    minutes = {c.command: c.evidence.minutes for c in claims if isinstance(c.evidence, Recorded | Studied)}
    return f"about {sum(minutes.values()) / 60:.0f} hours on two cores"


def summary() -> str:
    """How many rows hold, and so on."""
    counts = Counter(claim.found().verdict for claim in CLAIMS)
    counted = f"{len(CLAIMS)} claims: " + ", ".join(f"{v} {counts[v]}" for v in Verdict if counts[v]) + "."
    missing = [claim for claim in CLAIMS if claim.found().verdict is Verdict.OPEN]
    return f"{counted} All of it takes {total(CLAIMS)}, what is not measured {total(missing)}."


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
    begin = (
        "# The claims of the two papers",
        "Made from the records of `results/` by `python results/claims.py --table`. `python results/claims.py "
        "--data_dir=DIR` measures what is missing or stale, `--only=ROW` one row; `--list` says what is stale.",
        summary(),
        RULES,
        f"DIR is a folder of data, which these commands fill:\n\n```\n{commands()}\n```",
    )
    return "\n\n".join((*begin, *parts)) + "\n"
