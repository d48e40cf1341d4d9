"""Every config: its small form is built, reads made-up data of the real data set's features, and its steps are traced.

tests/test_families.py trains a run of every family.
"""

import importlib
from pathlib import Path

import jax
import numpy as np
import pytest
import tensorflow_datasets as tfds
from ml_collections import ConfigDict
from PIL import Image

import experiment
from configs import gpt_modern
from errors import UserError
from experiment import config as configs
from experiment.settings import Experiment
from models import vit
from training import optim

ROOT = Path(__file__).parents[1]
NAMES = sorted(p.stem for p in (ROOT / "configs").glob("*.py") if p.stem not in ("base", "__init__"))
DEFAULT = {  # a variant of each config that has no default
    "vit_imagenet": "Ti/16",
    "vit_imagenet21k": "R+Ti/16",
    "resnet_imagenet": "R50x1",
    "mixer_imagenet": "B/16",
    "vit_simple_imagenet": "Ti/16",
    "vit_deit_imagenet": "Ti/16",
    "mae_imagenet": "Ti/16",
    "masked_patches_imagenet21k": "Ti/16",
    "vit_finetune": "flowers+Ti/16",
    "vit_linear_probe": "cifar10+Ti/16",
    "transformer_multi30k": "en-de",
    "seq2seq_multi30k": "gru+bahdanau",
    "transformer_wmt14": "base",
    "encoder_sst2": "mean",
    "recall": "gru+16",
    "gpt_shakespeare": "cpu",
    "gpt_modern": "cpu",
    "clip_coco": "B/32",
    "upernet_ade20k": "T",
}


def load(name: str, variant: str | None = None, small: bool = False):
    variant = DEFAULT.get(name, "") if variant is None else variant
    return configs.load(":".join(filter(None, [f"configs/{name}.py", variant, "debug" * small])))


KIND = {name: "own" if config.recipe else config.data.kind for name in NAMES for config in [load(name)]}
REAL = [name for name in NAMES if KIND[name] != "own"]  # the others: see tests/test_own_data.py
KINDS = ("images", "class_images", "boxes", "views", "image_texts")
IMAGES = [name for name in REAL if KIND[name] in KINDS]
CLIPS = [name for name in REAL if KIND[name] == "clips"]
MASKS = [name for name in REAL if KIND[name] == "masks"]
CAPTIONS = [name for name in REAL if KIND[name] == "captions"]
TEXTS = [name for name in REAL if name not in (*IMAGES, *CLIPS, *MASKS, *CAPTIONS)]


def records(builder, split, deserialize_method):
    """What as_data_source gives for raw bytes: mock_data's own cannot be asked for several at once."""
    assert deserialize_method.value == "raw_bytes"
    features = builder.info.features
    examples = tfds.testing.mocking.RandomFakeGenerator(features, num_examples=80)

    class Records:
        def __getitems__(self, indices):
            return [features.serialize_example(features.encode_example(possible(examples[i]))) for i in indices]

    return Records()


def possible(example):
    """A made-up example whose sequences within one another have one length, and whose boxes have sides."""
    for name, value in example.items():
        if isinstance(value, dict):
            length = min(map(len, value.values()))
            example[name] = {key: x[:length] for key, x in value.items()}
            if "bbox" in value:
                boxes = [np.sort(np.reshape(box, (2, 2)), axis=0).ravel() for box in example[name]["bbox"]]
                example[name]["bbox"] = [tfds.features.BBox(*map(float, box)) for box in boxes]
    return example


HELD_OUT = 51_200  # of the 21k config's own split


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory) -> Path:
    """Where mock_data finds what every set would be: features of the real builder, splits that are small."""
    folder = tmp_path_factory.mktemp("sets")

    def prepare(name: str) -> None:
        importlib.import_module("data.builders.imagenet21k")
        builder = tfds.builder(name, data_dir=folder, file_format="array_record")
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

    all_of_images = (load(name).data for name in (*IMAGES, *CAPTIONS))
    for name in {data.name for data in all_of_images if data.source == "tfds"} - {"digits"}:
        prepare(name)
    return folder


def takes_its_steps(config: ConfigDict, workdir: Path) -> None:
    """A training step on the first batch and an evaluation step on the first of each split, traced, not compiled."""
    run = experiment.build(config, workdir)
    run.pipeline.check()
    batch = run.devices.put(next(run.batches(0)))
    state, sums = jax.eval_shape(run.train_step, run.abstract_state, batch)
    shapes = lambda tree: jax.tree.map(lambda x: (x.shape, x.dtype), tree)  # noqa: E731
    assert shapes(state) == shapes(run.abstract_state)
    assert sums["loss"][0].shape == sums["grad_norm"][0].shape == ()
    for split in run.pipeline.eval_splits:
        batch = run.devices.put(next(run.pipeline.eval_batches(split)))
        assert "loss" in jax.eval_shape(run.eval_step, run.abstract_state.eval_variables, batch)
    assert run.steps == 4
    best = run.config["checkpoint"]["keep_best"]
    assert not best or best.rpartition("/")[0] in run.pipeline.eval_splits


@pytest.mark.parametrize("name", IMAGES)
def test_every_image_config_takes_its_steps_on_data_of_its_sets_features(name, workdir, data_dir):
    config = load(name, small=True)
    config.parallel.mode = "mesh"
    if config.data.name == "imagenet21k":
        assert config.data.eval_splits == (f"train[:{HELD_OUT}]",)
    if config.data.name == "digits" or config.data.source in ("canvases", "questions"):
        takes_its_steps(config, workdir)
        return
    config.data.eval_splits = tuple(split.partition("[")[0] for split in config.data.eval_splits)  # of 80 examples
    config.data.data_dir = str(data_dir)
    with tfds.testing.mock_data(80, data_dir=str(data_dir), as_data_source_fn=records):
        takes_its_steps(config, workdir)


VIDEOS = [(name, "") for name in CLIPS if name != "video_kinetics400"]
VIDEOS += [("video_kinetics400", model) for model in ("vivit_factorised", "timesformer", "video_mae_pretrain")]


@pytest.mark.parametrize(("name", "variant"), VIDEOS)
def test_every_config_of_clips_takes_its_steps(name, variant, workdir, tmp_path):
    config = load(name, variant, small=True)
    config.parallel.mode = "mesh"
    if config.data.source == "videos":
        config.data.name = str(tmp_path)
        frames = [Image.new("RGB", (40, 36), (level,) * 3) for level in range(0, 50, 10)]
        for split in (config.data.train_split, *config.data.eval_splits):
            for number in range(8):
                folder = tmp_path / split / f"class {number % 2}"
                folder.mkdir(parents=True, exist_ok=True)
                frames[0].save(folder / f"{number}.gif", save_all=True, append_images=frames[1:])
    takes_its_steps(config, workdir)


@pytest.mark.parametrize("name", MASKS)
def test_every_config_of_label_maps_takes_its_steps_on_folders_like_its_sets(name, workdir, tmp_path):
    config = load(name, small=True)
    config.parallel.mode = "mesh"
    if config.data.source == "label_images":
        config.data.update(name=str(tmp_path), data_dir="")
        first, classes = config.data.first_class, 150 if name.endswith("_ade20k") else 11
        labels = np.random.default_rng(0).integers(0, first + classes, (20, 30), np.uint8)
        for split in (config.data.train_split, *config.data.eval_splits):
            for kind, pixels in (("images", np.repeat(labels[..., None], 3, 2)), ("annotations", labels)):
                folder = tmp_path / (kind if first else split) / (split if first else kind)
                folder.mkdir(parents=True)
                for number in range(8):
                    Image.fromarray(pixels).save(folder / f"{number}.png")
        (tmp_path / "classes.txt").write_text("\n".join(f"class {number}" for number in range(classes)))
    takes_its_steps(config, workdir)


@pytest.mark.parametrize("name", CAPTIONS)
def test_every_config_of_captions_takes_its_steps_on_data_of_its_sets_features(name, workdir, data_dir, tmp_path):
    config = load(name, small=True)
    config.parallel.mode = "mesh"
    if config.data.source == "captioned":
        for split in (config.data.train_split, *config.data.eval_splits):
            (tmp_path / split).mkdir()
            for number in range(20):
                Image.fromarray(np.zeros((30, 40, 3), np.uint8)).save(tmp_path / split / f"{number}.jpg")
            rows = "".join(f"{number}.jpg\tcaption {number} of {i}\n" for number in range(20) for i in range(2))
            (tmp_path / f"{split}.tsv").write_text(rows)
        config.data.name = str(tmp_path)
    if config.data.tokenizer == "bpe":
        config.data.tokenizer = "char"  # so few captions have no 300 subwords
    if config.data.source != "tfds":
        takes_its_steps(config, workdir)
        return
    config.data.data_dir = str(data_dir)
    with tfds.testing.mock_data(80, data_dir=str(data_dir), as_data_source_fn=records):
        takes_its_steps(config, workdir)


@pytest.fixture
def texts(tmp_path) -> Path:
    """Where text configs find their set: the real builder's features, but a few sentences."""
    chance = np.random.default_rng(0)
    words = ["ein", "Mann", "geht", "durch", "den", "Park", "und", "sieht", "eine", "Frau", "mit", "Hund"]
    sentences = [" ".join(chance.choice(words, chance.integers(3, 12))) for _ in range(80)]
    for split in ("train", "validation", "test"):
        for language in ("de", "en"):
            (tmp_path / f"{split}.{language}").write_text("\n".join(sentences) + "\n")
        (tmp_path / f"{split}.txt").write_text("\n".join(sentences) + "\n")
    return tmp_path


@pytest.mark.parametrize("name", TEXTS)
def test_every_text_config_takes_its_steps_on_data_of_its_sets_features(name, workdir, texts, monkeypatch):
    config = load(name, small=True)
    config.parallel.mode = "mesh"
    if config.data.tokenizer == "" or (config.data.tokenizer == "bpe" and config.data.source != "python"):
        config.data.tokenizer = "char"  # so few sentences have no 300 subwords
    if config.data.name == "tiny_shakespeare":  # of which tfds.testing has no features
        config.data.source = "files"
    if config.data.source == "files":
        config.data.name = str(texts)
    elif config.data.source == "python":
        config.data.name = "email"
    elif config.data.source in ("dates", "reverse"):
        module = importlib.import_module(f"data.text.{config.data.source}")
        every = module.pairs
        monkeypatch.setattr(module, "pairs", lambda *which: every(*which)[:80])
    with tfds.testing.mock_data(80):
        takes_its_steps(config, workdir)


@pytest.mark.parametrize("name", NAMES)
def test_every_config_is_documented_and_complete(name):
    config = load(name)
    module = importlib.import_module(f"configs.{name}")
    assert f"python train.py --config=configs/{name}.py" in module.__doc__
    assert f"configs/{name}.py" in (ROOT / "configs" / "README.md").read_text()
    assert set(config.keys()) == set(Experiment.__dataclass_fields__)


@pytest.mark.parametrize("parts", gpt_modern.VARIANTS["parts"])
def test_the_other_parts_of_gpt_modern_take_their_steps(parts, texts, workdir):
    config = load("gpt_modern", f"cpu+{parts}", small=True)
    config.parallel.mode = "mesh"
    config.data.source, config.data.name = "files", str(texts)
    takes_its_steps(config, workdir)


def test_a_key_without_a_default_can_be_set_in_the_small_form_too():
    assert {load("gpt_modern", small=small).model.get_type("kv_heads") for small in (False, True)} == {int}


@pytest.mark.parametrize("variant", vit.VARIANTS)
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
    assert run.steps == round(300 * run.pipeline.train_source.size / 4096)


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


def test_the_recipes_of_fine_tuning():
    """Table 4."""
    for task, steps in (("imagenet", 20_000), ("cifar100", 10_000), ("pets", 500), ("vtab_dtd", 2500)):
        config = load("vit_finetune", f"{task}+L/16")
        assert (config.steps, config.data.batch_size, config.data.image_size) == (steps, 512, 384)
        assert (config.optim.name, config.optim.momentum, config.optim.clip_norm) == ("sgd", 0.9, 1.0)
        assert (config.optim.weight_decay, config.model.dropout, config.optim.schedule) == (0, 0, "cosine")
        assert config.optim.warmup_steps < config.steps
    with pytest.raises(UserError, match="there is no task 'cars': There is: cifar10"):
        load("vit_finetune", "cars+B/16")


def test_hybrids_have_the_learning_rates_of_their_rows():
    rows = {"R50+B/16": 8e-4, "R50+B/32": 8e-4, "R50+L/16": 4e-4, "R50+L/32": 2e-4, "R26+S/32": 1e-3}
    assert {row: load("vit_imagenet21k", row).optim.learning_rate for row in rows} == rows


def test_small_models_of_fashion_mnist_differ_in_the_model_alone():
    whole = [load("vit_fashion_mnist"), load("vit_fashion_mnist", "hybrid"), load("resnet_fashion_mnist")]
    assert whole[1].model.stem_depths == (1, 1)
    for config in whole:
        del config["model"]
    assert whole[0] == whole[1] == whole[2]


def test_the_transformers_recipe():
    base_, big = load("transformer_wmt14", "base"), load("transformer_wmt14", "big")
    for config, width, steps, kept, dropout in ((base_, 512, 100_000, 5, 0.1), (big, 1024, 300_000, 20, 0.3)):
        assert (config.steps, config.checkpoint.keep_last, config.model.dropout) == (steps, kept, dropout)
        _, rate = optim.make(**{**config.optim, "total_steps": config.steps})
        for step in (1, 100, 4000, 4001, 50_000):  # equation 3
            noam = width**-0.5 * min(step**-0.5, step * 4000**-1.5)
            assert float(rate(step - 1)) == pytest.approx(noam, rel=1e-3)
    assert (base_.data.batch_tokens, base_.data.vocabulary_size, base_.task.label_smoothing) == (25_000, 37_000, 0.1)
    assert (base_.task.beams, base_.task.alpha, base_.task.extra_length) == (4, 0.6, 50)
    with pytest.raises(UserError, match="no row 'A2'"):
        load("transformer_wmt14", "A2")


@pytest.mark.parametrize("variant", ["transformer+16", "rnn", "lstm+64", "gru+32"])
def test_models_that_recall_differ_in_nothing_else_and_have_the_same_size(variant, workdir):
    model, _, length = variant.partition("+")
    config, other = load("recall", variant), load("recall", f"transformer+{length or 32}")
    run = experiment.build(config, workdir)
    assert run.parameters() == pytest.approx(18_000, rel=0.03)
    assert config.model.get("cell", "transformer") == model
    assert (config.data.name, config.data.max_length) == (f"8,{length or 32}", int(length or 32) + 1)
    del config["model"], other["model"]
    assert config == other


@pytest.mark.parametrize("variant", ["rnn+none", "lstm+luong_dot", "lstm+none", "gru+luong_general"])
def test_the_recurrent_models_are_variants_of_one_config(variant):
    config = load("seq2seq_multi30k", variant)
    assert (config.model.cell, config.model.attention) == tuple(variant.split("+"))
    others = load("seq2seq_multi30k", "gru+bahdanau")
    assert (config.data, config.epochs, config.optim) == (others.data, others.epochs, others.optim)
    config.data.batch_tokens = (transformer := load("transformer_multi30k", "de-en")).data.batch_tokens
    assert config.data == transformer.data


@pytest.mark.parametrize(("task", "fields"), [("sst2", 0), ("mnli", 2), ("stsb", 2), ("conll", 0)])
def test_berts_tasks_have_the_inputs_of_their_data(task, fields, workdir, tmp_path):
    config = load("bert_finetune", f"{task}+Tiny", small=True)
    assert len(config.data.get("fields", ())) == fields
    (tmp_path / "train.txt").write_text("Ada B-PER\nwalks O\n\n" * 20)
    config.data.tokenizer, config.parallel.mode = "char", "mesh"
    if task == "conll":
        config.data.update(name=str(tmp_path), eval_splits=("train[:10]",))
        config.checkpoint.keep_best = "train[:10]/accuracy"
    with tfds.testing.mock_data(80):
        takes_its_steps(config, workdir)


def test_bert_takes_its_steps_on_pairs_of_segments(workdir):
    config = load("bert_pretrain", "python+Tiny", small=True)
    config.parallel.mode = "mesh"
    config.data.update(name="email", next_sentence=True, eval_splits=("train",))
    config.model.next_sentence, config.checkpoint.keep_best = True, "train/next_sentence_accuracy"
    takes_its_steps(config, workdir)
