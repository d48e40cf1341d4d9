"""Images with boxes: they move with the image, hosts and starts change nothing, what is left out is counted."""

import itertools
import json

import numpy as np
import pytest
from PIL import Image

import input_pipeline
from data import sources
from data.pipelines.base import Feed
from errors import UserError

SIZE = {"a": (20, 40), "b": (40, 20), "c": (30, 30)}  # height, width


@pytest.fixture
def root(tmp_path):
    """Three images, black with one white rectangle each: rows 5 to 14, columns 10 to 17."""
    for name, size in SIZE.items():
        image = np.zeros((*size, 3), np.uint8)
        image[5:15, 10:18] = 255
        (tmp_path / "images" / "train").mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(tmp_path / "images" / "train" / f"{name}.png")
    return tmp_path


def coco(root, boxes=None, **changes):
    """A COCO file: by default the true box of each image."""
    boxes = boxes or [(name, [10, 5, 8, 10], 7) for name in SIZE]
    images = [{"id": i, "file_name": f"{n}.png", "height": h, "width": w} for i, (n, (h, w)) in enumerate(SIZE.items())]
    ids = {name: number for number, name in enumerate(SIZE)}
    annotations = [{"id": i, "image_id": ids[n], "category_id": c, "bbox": b} for i, (n, b, c) in enumerate(boxes)]
    whole = {"images": images, "annotations": annotations, "categories": [{"id": 7, "name": "box"}]} | changes
    (root / "images" / "train" / "_annotations.coco.json").write_text(json.dumps(whole))
    return make("coco", root / "images")


def yolo(root, lines=None, names="names: [box]"):
    (root / "labels" / "train").mkdir(parents=True)
    (root / "data.yaml").write_text(names)
    for name, (height, width) in SIZE.items():
        text = f"0 {14 / width} {10 / height} {8 / width} {10 / height}"
        (root / "labels" / "train" / f"{name}.txt").write_text((lines or {}).get(name, text))
    return make("yolo", root)


def voc(root, order=("xmin", "ymin", "xmax", "ymax"), box=(10, 5, 18, 15), extra=""):
    for name, (height, width) in SIZE.items():
        corners = "".join(f"<{x}>{n}</{x}>" for x, n in zip(order, box, strict=True))
        one = f"<object><name>box</name><bndbox>{corners}</bndbox></object>"
        size = f"<size><width>{width}</width><height>{height}</height></size>"
        file = f"<annotation><filename>{name}.png</filename>{size}{one}{extra}</annotation>"
        (root / "images" / "train" / f"{name}.xml").write_text(file)
    return make("voc", root / "images")


def make(source, name, seed=0, host=0, hosts=1, known=None, **changes):
    section = dict(kind="boxes", source=source, name=str(name), image_size=40, batch_size=4, max_boxes=4)
    section |= dict(eval_splits=("train",), mean=(0.0,), std=(1.0,)) | changes
    return input_pipeline.build(section, Feed(seed=seed, host=host, hosts=hosts, known=known))


def first(batches, count):
    return list(itertools.islice(batches, count))


def seen(batch, row):
    """The rectangle that is white in the part of the canvas that is image, as shares of it."""
    height, width = np.round(batch["extent"][row] * batch["image"].shape[1:3]).astype(int)
    y, x = np.nonzero(batch["image"][row, :height, :width, 0] > 0.5)
    return np.array([y.min() / height, x.min() / width, (y.max() + 1) / height, (x.max() + 1) / width])


@pytest.mark.parametrize("layout", [coco, yolo, voc])
def test_each_layout_says_the_same_boxes(root, layout):
    pipeline = layout(root)
    assert pipeline.classes == ("box",)
    assert pipeline.describe() == ["3 images of 1 classes, batch 4."]
    (batch,) = pipeline.eval_batches("train")
    real = batch["index"] >= 0
    np.testing.assert_array_equal(batch["labels"][real], [[0, -1, -1, -1]] * 3)
    np.testing.assert_array_equal(batch["size"][real], list(SIZE.values()))
    for row, (height, width) in enumerate(SIZE.values()):
        truth = np.array([5 / height, 10 / width, 15 / height, 18 / width])
        np.testing.assert_allclose(batch["boxes"][row, 0], truth, rtol=1e-5)
        np.testing.assert_allclose(seen(batch, row), truth, atol=0.04)
    np.testing.assert_allclose(batch["extent"][real], [[0.5, 1], [1, 0.5], [1, 1]])


def test_boxes_move_with_the_image_from_one_draw(root):
    changes = dict(flip=True, flip_vertical=True, scale=(0.6, 1.6), aspect=1.3, least_seen=0.9)
    coco(root)
    pipeline = make("coco", root / "images", augment=changes)
    found, extents = 0, set()
    for batch in first(pipeline.train_batches(0), 12):
        for row in range(4):
            extents.add(tuple(batch["extent"][row].tolist()))
            if batch["labels"][row, 0] == 0:
                np.testing.assert_allclose(seen(batch, row), batch["boxes"][row, 0], atol=0.06)
                found += 1
    assert 30 < found < 48  # a few are cut off
    assert len(extents) > 10


def test_a_hue_is_turned_and_neither_the_value_nor_grey_changes():
    from data import box_views
    from data.pipelines.box_augmentation import Augment

    def shown(colour, seed):
        image, boxes = np.full((6, 6, 3), colour, np.uint8), np.array([[0, 0, 1, 1]], np.float32)
        return box_views.view(image, boxes, (6, 6, 3), True, 0, Augment(hue=0.5), (seed, 0)).image.numpy()[0, 0]

    turned = [shown((200, 100, 100), seed) for seed in range(20)]
    assert all(abs(int(pixel.max()) - 200) <= 1 and abs(int(pixel.min()) - 100) <= 1 for pixel in turned)
    assert {int(pixel.argmax()) for pixel in turned} == {0, 1, 2}
    np.testing.assert_array_equal(shown((90, 90, 90), 3), [90, 90, 90])


def test_a_start_and_the_number_of_hosts_change_nothing(root):
    coco(root)
    augment = dict(flip=True, scale=(0.6, 1.6), brightness=0.3)

    def batches(start, count, **feed):
        return first(make("coco", root / "images", augment=augment, **feed).train_batches(start), count)

    whole = batches(0, 4)
    for one, other in zip(batches(2, 2), whole[2:], strict=True):
        for name in one:
            np.testing.assert_array_equal(one[name], other[name], err_msg=name)
    halves = [batches(1, 1, host=host, hosts=2)[0] for host in range(2)]
    for name in whole[1]:
        np.testing.assert_array_equal(np.concatenate([half[name] for half in halves]), whole[1][name], err_msg=name)
    assert any((a["image"] != b["image"]).any() for a, b in zip(batches(0, 4, seed=1), whole, strict=True))


def test_what_is_left_out_is_counted(root):
    boxes = [("a", [10, 5, 8, 10], 7), ("a", [10, 5, 0, 10], 7), ("a", [1, 1, 2, 2], 8), ("b", [12, 5, 18, 10], 7)]
    boxes += [("b", [i, 0, 5, 5], 7) for i in range(5)]
    pipeline = coco(root, boxes)
    beyond, counts, without = pipeline.describe()[1:]
    assert "1 of 9 boxes reach beyond their image and are cut at its edges" in beyond
    assert "of 9 boxes, left out are 1 of no area, 1 of an unknown class, 2 beyond max_boxes." in counts
    assert "1 of 3 images have no box" in without
    (batch,) = pipeline.eval_batches("train")
    np.testing.assert_array_equal((batch["labels"] == 0).sum(1)[:3], [1, 4, 0])
    assert batch["boxes"].max() <= 1


def test_crowds_are_left_out_of_training_and_ignored_in_evaluation(root):
    coco(root)
    path = root / "images" / "train" / "_annotations.coco.json"
    whole = json.loads(path.read_text())
    whole["annotations"][0] |= {"iscrowd": 1, "area": 33}
    path.write_text(json.dumps(whole))
    pipeline = make("coco", root / "images")
    assert "1 crowds or difficult ones" in pipeline.describe()[1]
    (batch,) = pipeline.eval_batches("train")
    np.testing.assert_array_equal(batch["ignored"][:3, 0], [1, 0, 0])
    np.testing.assert_allclose(batch["area"][:3, 0], [33, 80, 80], rtol=1e-5)  # where it is not said, of the box
    assert pipeline.numbers == (7,)
    assert make("coco", "elsewhere", known=pipeline.known).numbers == (7,)
    assert make("coco", "elsewhere", known={"classes": ["a", "b"]}).numbers == (0, 1)  # of an earlier version
    assert (batch["labels"][:3, 0] == 0).all()
    assert sum((b["labels"] == 0).sum() for b in first(pipeline.train_batches(0), 3)) == 8  # of 12 views


@pytest.mark.parametrize(
    ("layout", "arguments", "note"),
    [
        (coco, dict(boxes=[(n, [10, 5, 18, 15], 7) for n in ("b",)]), "they are read as x, y of two corners"),
        (voc, dict(order=("xmax", "ymax", "xmin", "ymin")), "corners in the other order; they are turned"),
        (voc, dict(box=(0.25, 0.25, 0.45, 0.75)), "the boxes are shares of the image's sides, not pixels"),
        (yolo, dict(lines=dict.fromkeys(SIZE, "0 14 10 8 10")), "the boxes are pixels, not shares"),
        (yolo, dict(names="names: [box, box]"), "2 classes have 1 names: those called 'box' are one"),
        (yolo, dict(lines={"a": "0 0.5 0.5 0.2"}), "left out: 1 lines that are no box (a.txt, line 1)"),
        (yolo, dict(lines={"a": "3 0.5 0.5 0.2 0.2"}), "1 of an unknown class"),
        (yolo, dict(lines={"a": "0 0.1 0.2 0.5 0.2 0.3 0.4 0.5"}), "left out: 1 lines that are no box"),
        (coco, dict(boxes=[("a", [9, 5, 8, 10], 7), ("a", [1, "x", 2, 2], 7), ("a", 5, 7)]), "left out: 2 annotations"),
    ],
)
def test_another_form_is_told_from_the_numbers(root, layout, arguments, note):
    pipeline = layout(root, **arguments)
    assert any(note in line for line in pipeline.describe()), pipeline.describe()


def test_categories_of_one_name_are_one_class_and_of_one_id_are_refused(root):
    """As exports have them whose first category is the set itself."""
    boxes = [("a", [10, 5, 8, 10], 7), ("b", [10, 5, 8, 10], 9), ("c", [10, 5, 8, 10], 8)]
    categories = [{"id": i, "name": name} for i, name in ((7, "box"), (8, "bag"), (9, "box"))]
    pipeline = coco(root, boxes, categories=categories)
    assert (pipeline.classes, pipeline.numbers) == (("box", "bag"), (9, 8))
    assert any("3 classes have 2 names: those called 'box' are one." in line for line in pipeline.describe())
    (batch,) = pipeline.eval_batches("train")
    np.testing.assert_array_equal(batch["labels"][:3, 0], [0, 0, 1])
    with pytest.raises(UserError, match="has two categories of the id 7: give each its own"):
        coco(root, categories=[*categories, {"id": 7, "name": "bin"}]).describe()


@pytest.mark.parametrize(
    ("file", "message"),
    [
        ("[]", "is not COCO's: it should have a list 'images' of id and file_name"),
        ("{", "is no JSON"),
        ('{"images": [{"id": [], "file_name": "a.png"}]}', "should have a list 'images' of id and file_name"),
        ('{"images": [{"id": 1, "file_name": null}]}', "should have a list 'images' of id and file_name"),
        ('{"images": [], "annotations": [], "categories": []}', "none of its 0 images is there"),
        (None, "has no annotations/instances_train.json, train.json or train/_annotations.coco.json"),
    ],
)
def test_what_is_no_coco_file_is_one_line(root, file, message):
    if file:
        (root / "train.json").write_text(file)
    with pytest.raises(UserError, match=message):
        sources.open("coco", str(root), "train")


def test_one_wrong_number_changes_no_other_box(root):
    pipeline = yolo(root, {"a": "0 320 0.5 0.2 0.2"})
    assert any("of 3 boxes, left out are 1 outside of their image" in line for line in pipeline.describe())
    (batch,) = pipeline.eval_batches("train")
    np.testing.assert_allclose(batch["boxes"][1, 0], [5 / 40, 10 / 20, 15 / 40, 18 / 20], rtol=1e-5)


def test_a_yolo_outline_is_the_box_around_it(root):
    lines = {"a": "0 0.25 0.5 0.35 0.25 0.45 0.5 0.35 0.75", "b": "0 0.5 0.5 0.2 0.2 0.87"}
    pipeline = yolo(root, lines)
    assert any("1 lines are outlines; their boxes are taken" in line for line in pipeline.describe())
    (batch,) = pipeline.eval_batches("train")
    np.testing.assert_allclose(batch["boxes"][:2, 0], [[0.25, 0.25, 0.75, 0.45], [0.4] * 2 + [0.6] * 2], rtol=1e-5)
    (root / "labels" / "train" / "a.txt").write_bytes(b"0 0.5 0.5 0.2 0.2 \xff")
    with pytest.raises(UserError, match=r"a.txt is not UTF-8: line 1"):
        make("yolo", root).describe()
    for name in SIZE:
        (root / "labels" / "train" / f"{name}.txt").write_text("box 0.5 0.5 0.2 0.2")
    with pytest.raises(UserError, match=r"has no line that is a box, such as a.txt, line 1: a line is the number of"):
        make("yolo", root).describe()


def test_classes_of_yolo_without_names_are_one_line(root):
    with pytest.raises(UserError, match=r"data.yaml should have the classes as `names`, such as names: \[cat, dog\]"):
        yolo(root, names="nc: 1").describe()
    (root / "data.yaml").unlink()
    with pytest.raises(UserError, match=r"has no data.yaml .*: write them into .*classes.txt, a line each"):
        make("yolo", root).describe()


def test_boxes_of_an_image_that_its_exif_turns_are_one_line(root):
    coco(root)
    path = root / "images" / "train" / "a.png"
    image = Image.open(path)
    exif = image.getexif()
    exif[0x0112] = 6  # turned by a quarter
    image.save(path, exif=exif)
    with pytest.raises(UserError, match=r"a.png: its annotations are of 20x40 pixels .*, and it has 40x20, turned"):
        list(make("coco", root / "images").eval_batches("train"))
    (batch,) = make("coco", root / "images", unreadable="skip").eval_batches("train")
    assert batch["mask"].tolist() == [0, 1, 1]


def test_missing_images_are_counted_and_no_boxes_at_all_is_one_line(root):
    coco(root)
    (root / "images" / "train" / "a.png").unlink()
    assert "left out: 1 images that are missing" in make("coco", root / "images").describe()[1]
    with pytest.raises(UserError, match="its 2 images have no boxes"):
        coco(root, annotations=[]).describe()
    with pytest.raises(UserError, match="has no `objects` with `bbox` and `label`"):
        make("glyphs", "10").describe()
    (root / "images" / "train" / "a.xml").write_text("<!DOCTYPE x><annotation/>")
    with pytest.raises(UserError, match="has a document type of its own"):
        sources.open("voc", str(root / "images"), "train")


def test_made_up_batches_have_the_shapes_of_real_ones():
    pipeline = make("synthetic", "7")
    assert pipeline.sizes == {"outputs": 7}
    (batch,) = first(pipeline.train_batches(0), 1)
    assert {name: (4, *x.shape[1:]) for name, x in batch.items()} == {
        name: (4, *shape[1:]) for name, (shape, _) in pipeline.spec.items()
    }
    assert batch["labels"].max() < 7
