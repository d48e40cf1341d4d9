"""What the page's explorer shows: the attention of every layer and head in a few images or sentences, with rollout, the
logit lens, alignments and the similarity of positions, as the figures of analysis/figures compute them.

L layers, H heads, N tokens, T target and S source tokens.
"""

from collections.abc import Mapping, Sequence
from typing import TypedDict

import numpy as np
from jaxtyping import Float

from analysis import attention, picture, sentences
from analysis.figures import logit_lens, positions, rollout
from analysis.figures.heads import read_by_head
from analysis.page.examples import Examples, Seen
from analysis.page.html import Html, element, section
from analysis.page.pack import Packed, packed
from analysis.page.pack import picture as address
from analysis.subject import Subject

IMAGES, SENTENCES = 6, 5
TOKENS = 40  # of a sentence
ROOM = 2_200_000  # bytes of all attention weights


class Image(TypedDict):
    """One image.

    Attributes:
      name, note: of the example, and what the model says of it.
      picture: its address.
      read: of each layer and head, the attention of the queries that the model's head reads (L, H, N).
      reading: how much of each token the head reads (1, N).
      attention: of all queries (L, H, N, N), or of the mean of the heads (L, 1, N, N).
      rollout: through all layers (N, N).
    """

    name: str
    note: str
    picture: str
    read: Packed
    reading: Packed
    attention: Packed
    rollout: Packed


class Images(TypedDict):
    """A model of images.

    Attributes:
      kind: "images".
      grid: rows and columns of patches, which are the last tokens.
      query: name of what the model's head reads.
      layers, heads: how many.
      positions: similarity of the patches' positions, from 0 (opposite) to 1 (the same); None where they have none.
      items: the images.
    """

    kind: str
    grid: tuple[int, int]
    query: str
    layers: int
    heads: int
    positions: Packed | None
    items: list[Image]


class Lens(TypedDict):
    """The likeliest token after each layer at each place, and its probability (L, N): a decoder's next one, that at the
    same place of an encoder."""

    top: list[list[str]]
    probability: Packed


class View(TypedDict):
    """One way to look at a sentence.

    Attributes:
      name: "encoder", "decoder", or "alignment" of a target with its source.
      rows, columns: the tokens that attend and those that are attended to, the same ones in self-attention.
      attention: (L, H, N, N) or (L, H, T, S).
      rollout: (N, N); None of an alignment.
      lens: of the stack that writes, a decoder or the encoder of hidden tokens; None of others.
      cut: how many tokens the text has; only the first ones are shown.
    """

    name: str
    rows: list[str]
    columns: list[str]
    attention: Packed
    rollout: Packed | None
    lens: Lens | None
    cut: int


class Words(TypedDict):
    """A model of text. kind: "words". items: its sentences, each with its views."""

    kind: str
    items: list[dict[str, list[View]]]


def look(examples: Examples) -> Images | Words | None:
    """What the explorer shows of a run; None of a model without attention that can be shown."""
    subject = examples.subject
    if not subject.lacks_patch_attention:
        return images(examples)
    if subject.reads_tokens and subject.run.pipeline.readers and (items := words(subject)):
        return {"kind": "words", "items": items}
    return None


def images(examples: Examples) -> Images | None:
    """The user's images, or examples that the model is wrong and right about; None where the split has no images."""
    subject = examples.subject
    if subject.image_files:
        shown, notes = subject.images(len(subject.image_files)), [("", name) for name in subject.image_files]
    else:
        chosen = [
            *examples.wrong[: IMAGES // 3],
            *examples.right[:IMAGES],
            *(x for x in examples.seen if not x.verdict),
        ]
        if not (chosen := chosen[:IMAGES]):
            return None
        height, width, _ = subject.image_shape
        shown = np.stack([one.example["image"][:height, :width] for one in chosen])
        notes = [(note(one), one.name) for one in chosen]
    seen = attention.all_at_once(subject.model, subject.variables, shown)
    layers, _, heads, tokens, _ = seen.attention.shape
    count, whole = fitting(len(shown), layers * heads * tokens**2, heads)
    items: list[Image] = []
    for place, pixels in enumerate(subject.pictures(shown[:count])):
        one = np.asarray(seen.attention)[:, place]
        read = read_by_head(one[:, None], np.asarray(seen.reading)[place : place + 1])[:, 0]
        items.append(
            {
                "name": notes[place][1],
                "note": notes[place][0],
                "picture": address(pixels),
                "read": packed(read),
                "reading": packed(np.asarray(seen.reading)[place : place + 1]),
                "attention": packed(one if whole else one.mean(1, keepdims=True)),
                "rollout": packed(rollout.rollout(one[:, None])[0]),
            }
        )
    similarity = None
    if not positions.lacks(subject):
        table = positions.arrays(subject)["similarity"]
        similarity = packed((1 + table.reshape(len(table) * table.shape[1], -1)) / 2)
    return {
        "kind": "images",
        "grid": subject.grid,
        "query": subject.query,
        "layers": layers,
        "heads": heads,
        "positions": similarity,
        "items": items,
    }


def note(one: Seen) -> str:
    """What the model says of an example."""
    if not (verdict := one.verdict):
        return ""
    return f"{verdict.said}, right" if verdict.right else f"{verdict.said}, is {verdict.truth}"


def fitting(count: int, each: int, heads: int) -> tuple[int, bool]:
    """How many images fit in ROOM, and whether with every head by itself or with the mean of the heads.

    Args:
      count: images that there are.
      each: bytes of one image's attention weights.
      heads: H.
    """
    for least in (2, 1):
        for parts in (1, heads):
            fits = ROOM * parts // each
            if fits >= min(least, count):
                return min(count, fits), parts == 1
    return 1, False


def words(subject: Subject) -> list[dict[str, list[View]]]:
    """The views of the user's sentences, or of the first examples of the evaluation."""
    items = []
    rows = subject.rows(max(SENTENCES, len(subject.sentences)))
    room = ROOM // len(rows)
    for row in rows:
        if views := views_of(subject, row, room):
            items.append({"views": views})
    return items


def views_of(subject: Subject, row: Mapping[str, np.ndarray], room: int) -> list[View]:
    """Self-attention of each stack, and the decoder's to the source. room: bytes."""
    views: list[View] = []
    if cross := sentences.cross(subject, row):
        most = longest(cross.attention, room // 3)
        weights = cross.attention[..., :most, :most]
        target, source = spelled(cross.target[:most]), spelled(cross.source[:most])
        longer = max(len(cross.target), len(cross.source))
        views.append(view("alignment", target, source, weights, None, None, longer))
    stacks = [] if subject.lacks_self_attention else sentences.stacks(subject, row)
    for stack in stacks:
        shown = sentences.cut(stack, longest(stack.attention, room // 3))
        tokens = spelled(shown.tokens)
        writes = stack is stacks[-1] and not logit_lens.lacks(subject)
        lens = lens_of(subject, stack, len(tokens)) if writes else None
        mixed = rollout.rollout(stack.attention[:, None])[0, : len(tokens), : len(tokens)]
        views.append(view(stack.name, tokens, tokens, shown.attention, packed(mixed), lens, len(stack.tokens)))
    return views


def longest(weights: Float[np.ndarray, "L H T S"], room: int) -> int:
    """How many tokens are shown, at most TOKENS. room: bytes."""
    return int(min(TOKENS, np.sqrt(room / np.prod(weights.shape[:2]))))


def view(
    name: str,
    rows: list[str],
    columns: list[str],
    weights: Float[np.ndarray, "L H T S"],
    mixed: Packed | None,
    lens: Lens | None,
    length: int,
) -> View:
    """A View, see there."""
    return {
        "name": name,
        "rows": rows,
        "columns": columns,
        "attention": packed(weights),
        "rollout": mixed,
        "lens": lens,
        "cut": length if length > max(len(rows), len(columns)) else 0,
    }


def lens_of(subject: Subject, stack: sentences.Stack, count: int) -> Lens:
    """The logit lens of the first tokens of the stack that writes."""
    entry = "target" if subject.reads_pairs else "tokens"
    ids, probability = logit_lens.likeliest(subject, stack)
    top = [spelled(subject.run.pipeline.pieces(entry, row[:count])) for row in ids]
    return {"top": top, "probability": packed(probability[:, :count])}


def spelled(pieces: Sequence[str]) -> list[str]:
    """Tokens as they stand in a text, with signs for line feed and tab."""
    return [picture.spelled(piece) for piece in pieces]


def part(shown: Images | Words | None) -> Html | None:
    """The section, which the JavaScript fills; None where there is nothing."""
    if shown is None:
        return None
    return section("explore", "Attention", element("div", id="explorer"))
