"""Images with a text: the embedded questions are right, tokens are its words, and what a user gives is checked."""

from itertools import islice

import numpy as np
import pytest
from PIL import Image

import input_pipeline
from data.sources import canvases, questions
from errors import UserError
from input_pipeline import Feed

FEED = Feed(seed=3)
SECTION = dict(
    kind="image_texts",
    source="questions",
    name="24,which",
    image_size=24,
    mean=(0.5,),
    std=(0.5,),
    batch_size=16,
    eval_batch_size=64,
    eval_splits=("test[:100]",),
    max_length=8,
)


def build(feed: Feed = FEED, **changes):
    return input_pipeline.build(SECTION | changes, feed)


def read(name: str, count: int, split: str = "test") -> dict[str, np.ndarray]:
    source = questions.Source(name, split)
    found = source.read(np.arange(count))
    return {key: x.numpy() for key, x in found.items()}


def digit_at(image: np.ndarray, place: str, split: str) -> int:
    """The label of the split's digit that fits best anywhere in the corner that a sentence names."""
    half = len(image) // 2
    rows = slice(0, half) if "top" in place else slice(half, None)
    columns = slice(0, half) if "left" in place else slice(half, None)
    corner = image[rows, columns, 0] / 255
    digits, labels = canvases.of_split(split)
    windows = np.lib.stride_tricks.sliding_window_view(corner, (8, 8)).reshape(-1, 64)
    error = ((windows[:, None] - digits.reshape(1, -1, 64)) ** 2).sum(-1)
    return int(labels[error.min(0).argmin()])


def test_the_answer_is_the_digit_at_the_place_that_is_named():
    found = read("24,which", 40)
    for image, text, label in zip(found["image"], found["text"], found["label"], strict=True):
        words = text.decode()
        assert words.startswith("which digit is at the ")
        assert digit_at(image, words, "test") == label


def test_half_of_the_sentences_fit():
    found = read("24,fits", 200)
    assert 0.35 < found["label"].mean() < 0.65
    for image, text, label in list(zip(found["image"], found["text"], found["label"], strict=True))[:30]:
        said = questions.NUMBERS.index(text.decode().split()[1])
        assert (digit_at(image, text.decode(), "test") == said) == bool(label)


def test_tokens_are_the_words_of_the_text_and_the_same_after_a_resume():
    pipeline = build()
    assert pipeline.sizes == {"outputs": 10, "vocabulary": 2 + len(pipeline.words)}
    whole = list(islice(pipeline.train_batches(0), 3))
    (third,) = islice(build().train_batches(2), 1)
    for name, x in third.items():
        np.testing.assert_array_equal(x, whole[2][name], err_msg=name)
    spelled = [[pipeline.words[i - 2] for i in row if i] for row in third["tokens"]]
    assert all(words[:5] == ["which", "digit", "is", "at", "the"] and len(words) == 7 for words in spelled)
    batches = list(pipeline.eval_batches("test[:100]"))
    assert sum((batch["index"] >= 0).sum() for batch in batches) == 100
    assert not batches[-1]["tokens"][batches[-1]["index"] < 0].any()


def test_a_users_image_with_a_text(tmp_path):
    Image.fromarray(np.zeros((24, 24), np.uint8)).save(tmp_path / "a.png")
    pipeline = build()
    batch, notes = pipeline.read([f"{tmp_path / 'a.png'}\tWhich cat is at the top left"])
    assert batch["image"].shape == (1, 24, 24, 1)
    assert batch["tokens"][0, :3].tolist() == [2 + pipeline.words.index("which"), 1, 2 + pipeline.words.index("is")]
    assert notes == ["'cat' is a word that the model does not know, in: 'Which cat is at the top left'"]
    with pytest.raises(UserError, match=r"is no image with a text: write FILE, one tab, and the text"):
        pipeline.read([str(tmp_path / "a.png")])


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        (dict(name="24"), r"'24': questions is named by a canvas's side, 20 to 64 pixels, and what is asked"),
        (dict(name="8,fits"), "20 to 64 pixels"),
        (dict(source="tfds", name="digits"), "'digits' has no text"),
    ],
)
def test_what_cannot_be_is_one_line(changes, line):
    with pytest.raises(UserError, match=line) as raised:
        _ = build(**changes).sizes
    assert "\n" not in str(raised.value)
