"""Several views of each image, for models that learn by comparing them (multi-crop, 2006.09882; DINO, 2104.14294).

b this host's share of a batch, L local crops.
"""

from dataclasses import dataclass
from typing import ClassVar

from data.order import Tensor, tensorflow
from data.pipelines import images
from data.pipelines.augmentation import Augment
from data.pipelines.base import Change, Section, Spec, Split
from data.pipelines.view_augmentation import Views
from data.sources import Example
from errors import UserError


def debug(section: Section) -> dict[str, object]:
    """What a `:debug` variant changes."""
    changes = images.debug(section)
    return changes | {"image_size": 16, "views": dict(section.get("views", {})) | {"locals": 2, "local_size": 8}}


@dataclass(kw_only=True)
class Pipeline(images.Pipeline):
    """Batches of training: image and second, two global views, float32 (b, height, width, channels); local float32
    (b, L, local_size, local_size, channels), where L is not 0; label and mask as those of data/pipelines/images.py. In
    evaluation, image is the whole image and second a global view of it, which its place in the split decides.

    Attributes:
      augment: nothing but `crop` and `repeats` of it may be set: `views` says what is done.
      views: which views there are, and what is done to each.
    """

    views: Views = Views()  # noqa: RUF009 - frozen

    item: ClassVar[str] = "an image file"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.augment != Augment():
            raise UserError("config.data.augment is for other kinds of data: config.data.views says how views differ.")
        self.views.check(self.image_shape)

    @property
    def spec(self) -> Spec:
        """image, second, local, label and mask."""
        spec = super().spec
        found: Spec = {"image": spec["image"], "second": spec["image"]}
        if self.views.locals:
            side = self.views.local_size
            found["local"] = ((1, self.views.locals, side, side, len(self.mean)), "float32")
        return found | {"label": spec["label"], "mask": spec["mask"]}

    def draw(self, step: Tensor, split: Split, train: bool) -> Example:
        """Nothing: views follow from an example's own place."""
        return {}

    def change(self, split: Split, train: bool) -> Change | None:
        """All views of an image that is not of the size of the views."""
        if self._whole(split, train):
            return None
        from data import multi_crop

        def viewed(example: Example, row: Example) -> Example:
            """row: nothing, where it is only asked whether the image can be read."""
            from data.images import decode

            picture = decode(example["image"], len(self.mean))
            rest = {name: x for name, x in example.items() if name != "image"}
            place = row.get("position" if train else "index", 0)
            found = multi_crop.of_one(self, picture, place, train)
            if not train:
                found["image"] = self._normalised(self._view(example["image"], len(self.mean)))
            return rest | found

        return viewed

    def _normalised(self, image: Tensor) -> Tensor:
        from data import augment

        return augment.normalise(image, self.mean, self.std)

    @property
    def seed(self) -> int:
        """Of the training's views."""
        return self.feed.seed

    def blank(self, train: bool) -> Example | None:
        """Black views, where `unreadable` is "skip"."""
        found = super().blank(train)
        if found is None:
            return None
        tf = tensorflow()
        names = [name for name in ("second", "local") if name in self.spec and (train or name != "local")]
        return found | {name: tf.zeros(self.spec[name][0][1:]) for name in names}

    def finish(self, batch: Example, split: Split, train: bool) -> Example:
        """The views, with label and mask."""
        from data import multi_crop

        made = super().finish(batch, split, train)
        if self._whole(split, train):
            place = batch["position" if train else "index"]
            return made | multi_crop.of_batch(self, batch["image"], place, train)
        return made | {name: batch[name] for name in ("second", "local") if name in batch}
