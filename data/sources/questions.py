"""Four handwritten digits of scikit-learn on a canvas, one in each corner, with a sentence about one of them: what is
asked needs both. Nothing to download.

Example i of a split is composed from i alone. Digits of one split are in no other: see canvases.
"""

from data.order import Tensor, tensorflow, uniform
from data.sources import Example, Feature, Features, Made, canvases, chosen
from errors import UserError

SIZES = {"train": 200_000, "validation": 2_000, "test": 2_000}
SIDE = 8  # pixels of a digit
LEAST, LARGEST = 20, 64  # pixels of a canvas's side
NUMBERS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
PLACES = ("top left", "top right", "bottom left", "bottom right")
ASKED = ("which", "fits")
NOISE = 0.08  # the brightest of each pixel's noise


class Source(Made):
    """`name` is the side of the canvas in pixels and what is asked: "24,which" or "24,fits".

    Examples have `image` uint8 (side, side, 1), `text` and `label`. "which": the text is "which digit is at the top
    left", and the label that digit. "fits": the text is "the seven is at the top left", which is true of every second
    image, and the label is no or yes. Both have the words of both, so that one's model can begin with the other's
    weights.
    """

    def __init__(
        self,
        name: str,
        split: str,
        data_dir: str = "",
        memory_limit_mb: int = 0,
        wanted: tuple[str, ...] | None = None,
    ):
        super().__init__(split, SIZES, "questions")
        side, _, asked = name.partition(",")
        if not side.isdigit() or not LEAST <= int(side) <= LARGEST or asked not in ASKED:
            raise UserError(
                f"config.data.name={name!r}: questions is named by a canvas's side, {LEAST} to {LARGEST} pixels, and "
                f"what is asked ({', '.join(ASKED)}): 24,which."
            )
        self._side, self._asked = int(side), asked
        classes = canvases.CLASSES if asked == "which" else ("no", "yes")
        words = " ".join(sentence for one in ASKED for sentence in _sentences(one)).split()
        there: Features = {
            "image": Feature("image", (self._side, self._side, 1)),
            "text": Feature("text", (), tuple(dict.fromkeys(words))),
            "label": Feature("label", (), classes),
        }
        self.features: Features = chosen(there, wanted, "questions")

    def read(self, index: Tensor) -> Example:
        """Canvases, their sentences and labels."""
        tf = tensorflow()
        digits, labels = canvases.of_split(self._split)
        with tf.init_scope():
            digits, labels = tf.constant(digits), tf.constant(labels)
            sentences = tf.constant(_sentences(self._asked))
        place = index[:, None] + self._first
        draws = uniform(self._number, place, tf.range(15, dtype=tf.int64)[None])
        which = tf.cast(draws[:, :4] * float(len(labels)), tf.int32)
        label = tf.gather(labels, which)  # (b, 4)
        corner = tf.cast(draws[:, 12] * 4, tf.int64)
        there = tf.gather(label, corner, batch_dims=1)
        # Another digit where the sentence is not to fit.
        other = (there + 1 + tf.cast(draws[:, 13] * 9, tf.int64)) % 10
        fits = draws[:, 14] < 0.5
        said = tf.where(fits, there, other) if self._asked == "fits" else tf.zeros_like(there)
        pixels = uniform(len(SIZES) + self._number, place, tf.range(self._side**2, dtype=tf.int64)[None])
        drawn = self._drawn(tf.gather(digits, which), draws[:, 4:12])
        image = tf.minimum(drawn + NOISE * tf.reshape(pixels, tf.shape(drawn)), 1.0)
        example = {
            "image": tf.cast(tf.round(255 * image), tf.uint8)[..., None],
            "text": tf.gather(sentences, said * 4 + corner),
            "label": there if self._asked == "which" else tf.cast(fits, tf.int64),
        }
        return {name: example[name] for name in self.features}

    def _drawn(self, pictures: Tensor, draws: Tensor) -> Tensor:
        """Four pictures (b, 4, SIDE, SIDE), each somewhere in its corner: float32 (b, side, side). draws: (b, 8)."""
        tf = tensorflow()
        half = self._side // 2
        free = half - SIDE + 1
        offset = tf.cast(tf.reshape(draws, (-1, 4, 2)) * float(free), tf.int32)
        offset += tf.constant([[0, 0], [0, half], [half, 0], [half, half]])
        rows, columns = (tf.one_hot(offset[..., axis, None] + tf.range(SIDE), self._side) for axis in (0, 1))
        return tf.einsum("bnij,bnir,bnjc->brc", pictures, rows, columns)


def _sentences(asked: str) -> list[str]:
    """Every sentence: of "fits" four of each number."""
    if asked == "which":
        return [f"which digit is at the {place}" for place in PLACES]
    return [f"the {number} is at the {place}" for number in NUMBERS for place in PLACES]
