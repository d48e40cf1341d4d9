"""Every config: its own debug form trains and is evaluated on fake data of the real data set's features."""

import importlib
from pathlib import Path

import jax
import pytest
import tensorflow_datasets as tfds

import experiment
from configs import base
from models.vit import VARIANTS
from train import train

ROOT = Path(__file__).parents[1]
NAMES = sorted(p.stem for p in (ROOT / "configs").glob("*.py") if p.stem not in ("base", "__init__"))
DEFAULT = {"vit_imagenet": "Ti/16:debug", "vit_imagenet21k": "Ti/16:debug"}


def load(name: str, *variant: str):
    return importlib.import_module(f"configs.{name}").get_config(*variant)


def records(builder, split, deserialize_method):
    """What as_data_source gives for raw bytes: mock_data's own cannot be asked for several at once."""
    assert deserialize_method.value == "raw_bytes"
    features = builder.info.features
    examples = tfds.testing.mocking.RandomFakeGenerator(features, num_examples=80)

    class Records:
        def __getitems__(self, indices):
            return [features.serialize_example(features.encode_example(examples[i])) for i in indices]

    return Records()


HELD_OUT = 51_200  # of the 21k config's own split


@pytest.fixture
def data_dir(tmp_path) -> Path:
    """Where mock_data finds what every set would be: features of the real builder, splits that are small."""

    def prepare(name: str) -> None:
        importlib.import_module("data.builders.imagenet21k")
        builder = tfds.builder(name, data_dir=tmp_path, file_format="array_record")
        template = tfds.core.ShardedFileTemplate(
            data_dir=builder.data_dir, dataset_name=builder.name, filetype_suffix="array_record"
        )
        splits = [
            tfds.core.SplitInfo(
                name=split,
                shard_lengths=[HELD_OUT + 80 if name == "imagenet21k" else 80],
                num_bytes=2 << 30,  # too large for memory
                filename_template=template.replace(split=split),
            )
            for split in ("train", "test", "validation")
        ]
        builder.info.set_splits(tfds.core.SplitDict(splits))
        Path(builder.data_dir).mkdir(parents=True)
        builder.info.write_to_directory(builder.data_dir)

    for name in NAMES:
        if (data := load(name).data).name != "digits":
            prepare(data.name)
    return tmp_path


@pytest.mark.parametrize("name", NAMES)
def test_every_config_takes_its_steps_on_data_of_its_sets_features(name, workdir, data_dir):
    config = load(name, DEFAULT.get(name, "debug"))
    config.log.peak_teraflops = 1.0
    config.parallel.mode = "jit"
    if name == "vit_imagenet21k":
        assert config.data.eval_splits == (f"train[:{HELD_OUT}]",)
        config.data.eval_splits = ("train[:80]",)
    if name == "vit_digits":
        scores = train(config, workdir)
    else:
        config.data.data_dir = str(data_dir)
        with tfds.testing.mock_data(80, data_dir=str(data_dir), as_data_source_fn=records):
            scores = train(config, workdir)
    split = config.data.eval_splits[0]
    assert 0 <= scores[f"{split}/accuracy"] <= 1
    assert (workdir / "checkpoints" / "4").is_dir()


@pytest.mark.parametrize("name", NAMES)
def test_every_config_is_documented_and_complete(name):
    config = load(name)
    module = importlib.import_module(f"configs.{name}")
    assert f"python train.py --config=configs/{name}.py" in module.__doc__
    assert f"configs/{name}.py" in (ROOT / "configs" / "README.md").read_text()
    assert set(config.keys()) == set(base.get_config().keys()) == set(experiment.Experiment.__dataclass_fields__)


@pytest.mark.parametrize("variant", VARIANTS)
def test_every_variant_of_the_imagenet_config_has_its_shapes(variant, workdir):
    config = load("vit_imagenet", variant)
    config.data.update(source="synthetic", name="1000")
    config.data.image_size = 224
    run = experiment.build(config, workdir)
    logits = jax.eval_shape(
        lambda p: run.model.apply({"params": p}, jax.numpy.zeros((2, 224, 224, 3)), train=False),
        run.abstract_state.params,
    )
    assert logits.shape == (2, 1000)
    assert run.steps == round(300 * run.pipeline.train_examples / 4096)


def test_the_papers_recipes():
    imagenet, imagenet21k = load("vit_imagenet", "B/16"), load("vit_imagenet21k", "L/32")
    assert (imagenet.optim.learning_rate, imagenet.optim.weight_decay, imagenet.optim.clip_norm) == (3e-3, 0.3, 1.0)
    assert (imagenet.data.batch_size, imagenet.optim.warmup_steps, imagenet.epochs) == (4096, 10_000, 300)
    assert (imagenet21k.optim.learning_rate, imagenet21k.optim.weight_decay, imagenet21k.optim.schedule) == (
        1e-3,
        0.03,
        "linear",
    )
    assert (imagenet21k.epochs, imagenet21k.model.dropout, imagenet21k.model.representation) == (90, 0.1, True)
