"""Distances in syntax trees against a tree by hand, and how far heads look in them against loops."""

import numpy as np
import pytest

from analysis import syntax
from analysis.figures import head_roles

# Module - Assign - Name x
#                 - Call - Name f
#                        - Name a
#                        - BinOp - Name b
#                                - Constant 1
PIECES = ["x", "▁=", "▁f", "(", "a", ",", "▁b", "▁+", "▁", "1", ")", "\n"]
PART = ["x", "=", "f", "call", "a", "call", "b", "+", None, "1", "call", None]
ABOVE = {"x": "=", "=": None, "call": "=", "f": "call", "a": "call", "+": "call", "b": "+", "1": "+"}


def by_hand(part: str | None, other: str | None) -> int:
    """Edges between two parts of the tree above; -1 for what is in none."""
    if part is None or other is None:
        return -1

    def way(name: str | None) -> list[str]:
        return [name, *way(ABOVE[name])] if name else []

    one, two = way(part), way(other)
    return len(set(one) ^ set(two))


def test_tokens_are_as_far_apart_as_their_parts_of_the_tree():
    found = syntax.distances(PIECES)
    assert found is not None
    assert found.tolist() == [[by_hand(a, b) for b in PART] for a in PART]
    assert (found[0, 9], found[2, 4], found[3, 10], found[1, 6]) == (4, 2, 0, 3)


def test_the_lines_that_are_python_are_found_in_a_window_of_a_text():
    """It begins within a function and ends within a call; strings, comments and other documents' ends are no part."""
    before, after = ["▁", "end", "▁of", "▁a", "▁sentence", "\n"], ["f", "(", "\n"]
    body = ["▁▁", "é", "▁=", "▁", '"# é"', "▁+", "▁y", ".", "z", "▁", "# ", "y", "\n"]
    body += ["▁▁", "return", "▁", "y", "[", "0", "]", "\n"]
    found = syntax.distances(["<s>", *before, *body, *after, "</s>"])
    assert found is not None
    pieces = ["<s>", *before, *body, *after, "</s>"]
    inside = [piece for piece, distance in zip(pieces, found.diagonal(), strict=True) if not distance]
    assert inside == ["é", "▁=", "▁+", "▁y", ".", "z", "return", "y", "[", "0", "]"]
    place = 1 + len(before)
    assert found[place + 1, place + 8] == 3  # é - Assign - BinOp - Attribute, whose name z is
    assert found[place + 2, place + 14] == 2  # Assign - If that is put before the body - Return
    assert syntax.distances(["<s>", *before, *after]) is None
    assert syntax.distances(["a", ",", "▁b", "\n"]) is None
    assert syntax.distances([*"2025-11-12"]) is syntax.distances([*" 2025-11-12"]) is None


@pytest.mark.parametrize("text", ["x = f'{a:>{b}} {c!r}' + g(1, 2, 3)", "if a:\n\tb = c(1, 2)\n\td = 1 # e", "\0a = b"])
def test_any_text_has_distances_or_none(text):
    found = syntax.distances([*text])
    assert found is None or (found.shape == (len(text),) * 2 and (found == found.T).all())


def test_how_far_heads_look_is_what_loops_find():
    draw, apart = np.random.default_rng(0), syntax.distances(PIECES)
    n, sums, texts = len(PIECES), [], []
    for _ in range(2):
        attention = np.tril(draw.random((2, 3, n, n)))
        texts.append(attention)
        sums.append(syntax.measured(attention, apart, n + 2))
    distance, by_position = syntax.of_heads(syntax.Sums(*map(sum, zip(*sums, strict=True))))
    pairs = [(i, j) for i in range(n) for j in range(i) if apart[i, j] >= 0]
    for layer, head in np.ndindex(2, 3):
        weight = {pair: sum(attention[layer, head][pair] for attention in texts) for pair in pairs}
        mean = {o: np.mean([apart[i, j] for i, j in pairs if i - j == o]) for o in {i - j for i, j in pairs}}
        total = sum(weight.values())
        assert distance[layer, head] == pytest.approx(sum(weight[p] * apart[p] for p in pairs) / total)
        assert by_position[layer, head] == pytest.approx(sum(weight[i, j] * mean[i - j] for i, j in pairs) / total)


def test_a_head_that_follows_syntax_stands_out_and_one_that_looks_by_position_does_not():
    apart = syntax.distances(PIECES)
    n = len(apart)
    places = np.arange(n)
    by_position = 1.0 / (1 + np.abs(places[:, None] - places))
    near = (apart >= 0) & (apart <= 1)
    sums = syntax.measured(np.stack([by_position, by_position * near])[None], apart, n)
    distance, expected = syntax.of_heads(sums)
    assert distance[0, 0] == pytest.approx(expected[0, 0])
    assert distance[0, 1] < 0.6 * expected[0, 1]


def test_texts_without_a_tree_are_said():
    left_out = "left out: {} of 5 texts are lines of Python, whose trees are known"
    assert str(head_roles.followed({}, 5)["syntax"]) == left_out.format(0)
    sums = syntax.measured(np.ones((2, 3, 12, 12)), syntax.distances(PIECES), 14)
    assert str(head_roles.followed({"decoder": [sums]}, 5)["syntax"]) == left_out.format(1)
    found = head_roles.followed({"decoder": [sums] * 2}, 5)
    assert found["decoder_syntax"].shape == found["decoder_syntax_by_position"].shape == (2, 3)
    measures = {"decoder_heads": np.ones((7, 2, 3)), "decoder_uniform": np.array([1, 0, 1, 1, 1, 1, 1])}
    titles = [grid.title for grid in head_roles.grids_of(found | measures, "decoder")]
    assert len(titles) == 8
    assert not any(title.startswith("share on the next") for title in titles)
