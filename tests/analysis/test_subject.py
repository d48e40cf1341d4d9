"""What a figure is told of a run's inputs, whatever its task and its pipeline are."""

from types import SimpleNamespace

import numpy as np
import pytest

from analysis.figures import gradients, heads
from analysis.subject import Subject
from errors import UserError

IMAGE = ((1, 4, 6, 3), "float32")


def subject(inputs: tuple[str, ...], spec: dict, batches: tuple[dict, ...] = (), **fields: object) -> Subject:
    pipeline = SimpleNamespace(
        spec=spec, eval_splits=("test",) if batches else (), eval_batches=lambda split: iter(batches), mean=0.5, std=0.5
    )
    pipeline.read = lambda files: ({"image": np.ones((len(files), 4, 6, 3), np.float32)}, [])
    run = SimpleNamespace(
        task=SimpleNamespace(inputs=inputs, optional=()),
        pipeline=pipeline,
        config={"model": {"name": "m"}},
        shapes=lambda: {"head/kernel": (3, 3)},
    )
    return Subject(run=run, restore=dict, load=lambda path: (run, {}), **fields)


@pytest.mark.parametrize(
    ("inputs", "images", "tokens"),
    [(("image",), True, False), (("tokens",), False, True), (("image", "tokens"), True, False)],
)
def test_a_model_reads_what_its_task_calls_it_with(inputs, images, tokens):
    spec = {"image": IMAGE, "tokens": ((1, 8), "int32"), "label": ((1,), "int32")}
    one = subject(inputs, spec)
    assert (one.reads_images, one.reads_tokens, one.reads_pairs) == (images, tokens, False)
    assert gradients.lacks(one) == ("" if tokens else "the model reads no sentences")
    of_images = "the model reads more than an image" if len(inputs) > 1 else "a m has no attention"
    assert heads.lacks(one) == (of_images if images else "the model reads no images")


def test_the_shape_of_images_is_the_pipelines():
    assert subject(("image",), {"image": IMAGE}).image_shape == (4, 6, 3)


def test_rows_without_an_example_are_not_shown():
    """The second could not be read, the last fills up the batch."""
    image = np.arange(4, dtype=np.float32).reshape(4, 1, 1, 1)
    batch = {"image": image, "mask": np.array([1.0, 0, 1, 1]), "index": np.array([0, 1, 2, -1])}
    pixels = {"image": image, "mask": np.zeros((4, 1, 1), np.int32), "index": np.array([0, 1, 2, -1])}
    for one, shown in ((batch, [0, 2]), (pixels, [0, 1, 2])):
        images = subject(("image",), {"image": IMAGE}, (one, one)).images(len(shown))
        np.testing.assert_array_equal(images.ravel(), shown)


def test_the_users_images_come_first():
    one = subject(("image",), {"image": IMAGE}, image_files=("a.png", "b.png"))
    assert one.images(9).shape == (2, 4, 6, 3)
    assert one.images(1).shape == (1, 4, 6, 3)
    np.testing.assert_array_equal(one.pictures(one.images(1)), 1)


def test_a_run_without_an_evaluation_split_asks_for_inputs():
    with pytest.raises(UserError, match=r"config.data.eval_splits\)\. Or give your own: --images=a.png,b.png\.$"):
        subject(("image",), {"image": IMAGE}).images(1)
