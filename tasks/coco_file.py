"""What is found in one image, as a file that is COCO's: pycocotools and tools that show annotations read it."""

from collections.abc import Mapping, Sequence

Found = Sequence[Mapping[str, object]]
IMAGE = 1  # the id of the only image


def of_image(
    name: str, size: Sequence[int], found: Found, classes: Sequence[str], numbers: Sequence[int]
) -> dict[str, object]:
    """The images, annotations and categories of a COCO file.

    Args:
      name: of the image's file.
      size: its height and width.
      found: of each annotation `category_id`, `bbox`, `area` and what else there is, such as `score`.
      classes, numbers: names and ids of all categories.
    """
    height, width = map(int, size)
    fixed = {"image_id": IMAGE, "iscrowd": 0}
    return {
        "images": [{"id": IMAGE, "file_name": name, "height": height, "width": width}],
        "annotations": [{"id": number} | fixed | dict(one) for number, one in enumerate(found, 1)],
        "categories": [{"id": number, "name": one} for number, one in zip(numbers, classes, strict=True)],
    }
