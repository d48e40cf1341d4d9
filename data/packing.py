"""Several sentences in one row, so that hardly anything is padding. Attention keeps them apart by their segments."""

import numpy as np

OPEN = 64  # rows that still take sentences: more of them pack tighter and take longer


def pack(source: list[np.ndarray], target: list[np.ndarray], length: int, seed: int) -> dict[str, list[np.ndarray]]:
    """Pairs of ids, none longer than `length`, put into rows that are at most `length` long on both sides.

    Pairs come in one random order and go into the first of the open rows that has room for both sides (first fit).

    Returns:
      For each row: source and target, int32, sentences one after the other; source_segment and target_segment, int32 of
      the same length: which sentence of the row, from 1 on, each token belongs to.
    """
    done: list[list[int]] = []
    rows: list[tuple[list[int], int, int]] = []  # members, room for source, room for target
    for i in np.random.default_rng(seed).permutation(len(source)):
        a, b = len(source[i]), len(target[i])
        for place, (members, s, t) in enumerate(rows):
            if a <= s and b <= t:
                members.append(i)
                rows[place] = (members, s - a, t - b)
                break
        else:
            if len(rows) == OPEN:
                fullest = min(range(OPEN), key=lambda r: rows[r][1] + rows[r][2])
                done.append(rows.pop(fullest)[0])
            rows.append(([i], length - a, length - b))
    done += [members for members, _, _ in rows]

    def together(side: list[np.ndarray]) -> list[np.ndarray]:
        return [np.concatenate([side[i] for i in members]).astype(np.int32) for members in done]

    def segments(side: list[np.ndarray]) -> list[np.ndarray]:
        return [
            np.repeat(np.arange(1, len(members) + 1, dtype=np.int32), [len(side[i]) for i in members])
            for members in done
        ]

    return {
        "source": together(source),
        "target": together(target),
        "source_segment": segments(source),
        "target_segment": segments(target),
    }
