"""The figure of retrieval, by its arrays."""

import numpy as np

from analysis.figures.retrieval import different, draw


def test_images_with_captions_that_are_there_already_are_passed_over():
    names = [(1, 2), (3, 4), (1, 2), (5, 6), (3, 4), (7, 8)]
    assert different(names, 3).tolist() == [0, 1, 3]
    assert different(names, 9).tolist() == [0, 1, 3, 5]


def test_what_is_drawn_is_what_the_arrays_say():
    arrays = {
        "image": np.random.default_rng(0).random((2, 8, 8, 1)),
        "text": np.array([["a $5 cat", "a dog"], ["x" * 80, "two"]]),
        "score": np.array([[0.5, 0.25], [0.1, 0.0]]),
        "right": np.array([[True, False], [False, True]]),
        "matrix": np.eye(4),
    }
    figure = draw(arrays)
    texts = [text for axes in figure.subfigs[0].axes for text in axes.texts]
    assert [text.get_text()[0] for text in texts] == ["✓", "✗", "✗", "✓"]
    assert [text.get_color() for text in texts] == ["tab:green", "tab:red", "tab:red", "tab:green"]
    assert texts[0].get_text().endswith("a \\$5 cat")
    assert texts[2].get_text().endswith("...")
    np.testing.assert_array_equal(figure.subfigs[1].axes[0].images[0].get_array(), np.eye(4))
