"""Texts: the same pairs from every layout, parts of splits as TFDS cuts them, and errors that name the place."""

import gzip

import pytest
import tensorflow_datasets as tfds

from data import text
from errors import UserError

DE = ["Ein Hund läuft.", "", "Zwei  Katzen\u2028schlafen.", "Drei\x85Vögel \x0b singen.", "Ende\tgut"]
EN = ["A dog runs.", "Nothing.", "Two cats\u2028sleep.", "Three birds sing.", ""]
PAIRS = list(zip(DE, EN, strict=True))
LANGUAGES = ("de", "en")


def write(folder, **files):
    """Files by name ("_" for "."), of str or bytes; names that end in gz are packed."""
    folder.mkdir(exist_ok=True)
    for name, content in files.items():
        raw = content if isinstance(content, bytes) else content.encode()
        (folder / name.replace("_", ".")).write_bytes(gzip.compress(raw) if name.endswith("gz") else raw)
    return folder


def joined(lines, end="\n"):
    return "".join(line + end for line in lines)


def pairs(source, name, split="train", languages=LANGUAGES, data_dir=""):
    return text.pairs(source, str(name), split, str(data_dir), languages)


@pytest.mark.parametrize(
    "names", [("train_de", "train_en"), ("train_de_gz", "train_en"), ("de_train_txt", "en_train_txt_gz")]
)
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_aligned_files_of_either_layout_give_their_pairs(tmp_path, names, end):
    write(tmp_path / "set", **dict(zip(names, (joined(DE, end), joined(EN, end)), strict=True)))
    assert pairs("files", "set", data_dir=tmp_path) == PAIRS
    assert pairs("files", tmp_path / "set", languages=("en", "de")) == [(en, de) for de, en in PAIRS]


def test_neither_a_byte_order_mark_nor_a_missing_last_line_feed_is_text(tmp_path):
    write(tmp_path, train_de="\ufeffeins\nzwei", train_en="one\ntwo\n")
    assert pairs("files", tmp_path) == [("eins", "one"), ("zwei", "two")]


@pytest.mark.parametrize(
    "split",
    [
        "train",
        "train[:90%]",
        "train[90%:]",
        "train[:3]",
        "train[4:7]",
        "train[-2:]",
        "train[:-25%]",
        "train[12.5%:37.5%]",
    ],
)
def test_a_part_of_a_split_is_the_one_that_tfds_cuts(tmp_path, split):
    numbers = [str(i) for i in range(37)]
    write(tmp_path, train_de=joined(numbers), train_en=joined(numbers))
    info = tfds.core.SplitInfo(name="train", shard_lengths=[37], num_bytes=0)
    (part,) = tfds.core.ReadInstruction.from_spec(split).to_absolute({"train": info})
    assert pairs("files", tmp_path, split) == [(n, n) for n in numbers[part.from_ : part.to]]


@pytest.mark.parametrize(
    ("split", "message"),
    [
        ("train[:9", "no part of a split: write it as"),
        ("train[:x%]", "no part of a split"),
        ("train[:6]", "reaches beyond its 5 examples"),
        ("train[-120%:]", "reaches beyond"),
        ("train[3:3]", "is empty"),
    ],
)
def test_a_part_that_does_not_exist_is_an_error(tmp_path, split, message):
    write(tmp_path, train_de=joined(DE), train_en=joined(EN))
    with pytest.raises(UserError, match=message):
        pairs("files", tmp_path, split)


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({}, r"has no train.de or de.train.txt: There is: nothing."),
        ({"trian_de": "x"}, r"did you mean 'trian.de'\? There is: trian.de."),
        ({"train_de": "x", "en_trains_txt": "x"}, r"has no train.en or en.train.txt: did you mean 'en.trains.txt'"),
        (
            {"train_de": "a\nb\n", "train_en": "a\nb\nthe third\nd\n"},
            r"train.de has 2 lines and train.en 4: line 3 stands in train.en only: 'the third'",
        ),
        ({"train_de": "a\nb\n", "train_en": "a\n"}, r"has 2 lines and train.en 1: line 2 stands in train.de only: 'b'"),
        ({"train_de": "a\nb\nVögel\n".encode("latin1"), "train_en": "a"}, "train.de is not UTF-8: line 3, byte 5 "),
        ({"train_de": "", "train_en": "a"}, "train.de is empty"),
        ({"train_de": "\ufeff", "train_en": "a"}, "train.de is empty"),
    ],
)
def test_files_that_are_no_pairs_say_what_is_wrong_where(tmp_path, files, message):
    with pytest.raises(UserError, match=message) as error:
        pairs("files", write(tmp_path, **files))
    assert "\n" not in str(error.value)


def test_a_damaged_archive_is_named(tmp_path):
    write(tmp_path, train_de="a", train_en="a")
    for content in (b"no archive", gzip.compress(b"a" * 99)[:-12], gzip.compress(b"a" * 99)[:10] + b"\xff" * 30):
        (tmp_path / "train.de").unlink(missing_ok=True)
        (tmp_path / "train.de.gz").write_bytes(content)
        with pytest.raises(UserError, match=r"cannot read .*train.de.gz"):
            pairs("files", tmp_path)


@pytest.mark.parametrize("source", ["files", "tsv", "tfds"])
def test_what_does_not_exist_is_named(tmp_path, source):
    write(tmp_path, **({"train_tsv": "a\ta"} if source == "tsv" else {"de_train_txt": "a", "en_train_txt": "a"}))
    with pytest.raises(UserError, match=r"config.data.languages needs two"):
        pairs(source, tmp_path, languages=("de",))
    with pytest.raises(UserError, match=r"valid.*There is: "):
        pairs(source, tmp_path, "valid")
    if source != "tfds":
        with pytest.raises(UserError, match="there is no folder"):
            pairs(source, tmp_path / "nowhere")
    with pytest.raises(UserError, match=f"did you mean '{source}'"):
        pairs(f"{source}s", tmp_path)


@pytest.mark.parametrize("name", ["train_tsv", "train_tsv_gz"])
def test_two_columns_are_pairs_in_the_order_of_the_languages(tmp_path, name):
    write(tmp_path, **{name: 'ein "Hund\ta dog\n\t\r\nzwei\ttwo'})
    assert pairs("tsv", tmp_path) == [('ein "Hund', "a dog"), ("", ""), ("zwei", "two")]
    assert pairs("tsv", tmp_path, "train[2:]") == [("zwei", "two")]


def test_a_first_line_with_both_languages_names_the_columns(tmp_path):
    write(tmp_path, train_tsv="id\ten\tde\n1\ta dog\tein Hund\n2\t\tEnde\n")
    assert pairs("tsv", tmp_path) == [("ein Hund", "a dog"), ("Ende", "")]
    with pytest.raises(UserError, match="names no column 'fr': There is: de, en, id"):
        pairs("tsv", tmp_path, languages=("fr", "en"))


def test_a_single_file_is_all_train(tmp_path):
    write(tmp_path, pairs_tsv="eins\tone\nzwei\ttwo\n")
    assert pairs("tsv", "pairs.tsv", "train[50%:]", data_dir=tmp_path) == [("zwei", "two")]
    with pytest.raises(UserError, match="one file, whose only split is 'train', not 'test'"):
        pairs("tsv", tmp_path / "pairs.tsv", "test")
    with pytest.raises(UserError, match=r"has no pair.tsv: did you mean 'pairs.tsv'"):
        pairs("tsv", tmp_path / "pair.tsv")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("a\tb\nc\n", "train.tsv, line 2 has 1 columns, not 2"),
        ("a\tb\nc\td\te\n", "line 2 has 3 columns, not 2"),
        ("de\ten\na\tb\n\n", "line 3 has 1 columns, not 2"),
        ("de\ten\tid\na\tb\n", "line 2 has 2 columns, not 3"),
        ("de\ten\n", "is empty below its first line"),
        ("", "is empty"),
    ],
)
def test_a_line_with_other_columns_is_named(tmp_path, content, message):
    with pytest.raises(UserError, match=message):
        pairs("tsv", write(tmp_path, train_tsv=content))


@pytest.mark.parametrize("head", ["", "text\tlabel\n", "Sentence\tLabel\n"])
def test_labels_are_integers_or_names(tmp_path, head):
    write(tmp_path, train_tsv=f"{head}good\t2\nbad \t0\n\t2\n", test_tsv=f"{head}good\tyes\nbad\tno\nso so\tyes\n")
    assert text.labelled("tsv", str(tmp_path), "train", "") == (["good", "bad ", ""], [2, 0, 2], ("0", "1", "2"))
    texts = ["good", "bad", "so so"]
    assert text.labelled("tsv", str(tmp_path), "test", "") == (texts, [1, 0, 1], ("no", "yes"))
    # a part has the classes of the whole
    assert text.labelled("tsv", str(tmp_path), "test[:1]", "") == (["good"], [1], ("no", "yes"))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("sentence\tlabel\ngood\t1\nbad\t-1\n", "example 1 has label '-1': this split is not labelled"),
        ("good\tyes\nbad\t\n", "example 1 has label '': this split is not labelled"),
        ("index\tsentence\n0\tgood\n", "names no column 'label'"),
        ("label\treview\n0\tgood\n", "names no column 'text'"),
    ],
)
def test_texts_without_labels_are_refused(tmp_path, content, message):
    with pytest.raises(UserError, match=message):
        text.labelled("tsv", str(write(tmp_path, test_tsv=content)), "test", "")


def test_a_translate_folder_is_read_as_tfds_reads_it(tmp_path):
    de, en = ["ein Hund", "", "zwei  Katzen"], ["a dog", "nothing", "two cats"]
    write(tmp_path / "set", de_train_txt=joined(de), en_train_txt=joined(en), de_test_txt="a", en_test_txt="b")
    expected = list(zip(de, en, strict=True))
    assert pairs("tfds", "set", data_dir=tmp_path) == pairs("files", "set", data_dir=tmp_path) == expected
    assert pairs("tfds", tmp_path / "set", "train[1:]") == expected[1:]
    with pytest.raises(UserError, match="no texts in 'fr': There is: de, en"):
        pairs("tfds", tmp_path / "set", languages=("fr", "en"))
    with pytest.raises(UserError, match="no split 'trian': did you mean 'train'"):
        pairs("tfds", tmp_path / "set", "trian")
    write(tmp_path / "set", README_md="about")
    with pytest.raises(UserError, match=r"takes every file for LANGUAGE.SPLIT.txt, and README.md is none"):
        pairs("tfds", tmp_path / "set")
    (tmp_path / "set" / "README.md").unlink()
    write(tmp_path / "set", de_test_txt="a\nb")
    with pytest.raises(UserError, match=r"TranslateFolder cannot read .*do not match.*source=files names the line"):
        pairs("tfds", tmp_path / "set")


class Talks(tfds.core.GeneratorBasedBuilder):
    """A prepared translation set."""

    VERSION = tfds.core.Version("1.0.0")

    def _info(self):
        return tfds.core.DatasetInfo(builder=self, features=tfds.features.Translation(languages=LANGUAGES))

    def _split_generators(self, dl_manager):
        return {"train": self._generate_examples()}

    def _generate_examples(self):
        for i, (de, en) in enumerate(PAIRS):
            yield i, {"de": de, "en": en}


class Reviews(tfds.core.GeneratorBasedBuilder):
    """Labelled texts. The test split keeps its labels to itself."""

    VERSION = tfds.core.Version("1.0.0")

    def _info(self):
        names = tfds.features.ClassLabel(names=["bad", "good"])
        features = {"text": tfds.features.Text(), "label": names, "words": tfds.features.Sequence(tfds.features.Text())}
        return tfds.core.DatasetInfo(builder=self, features=tfds.features.FeaturesDict(features))

    def _split_generators(self, dl_manager):
        return {"train": self._generate_examples([0, 1, 1]), "test": self._generate_examples([1, -1])}

    def _generate_examples(self, labels):
        for i, label in enumerate(labels):
            yield i, {"text": f"{label} schön", "label": label, "words": ["x"] * i}


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    """data_dir of both sets."""
    root = tmp_path_factory.mktemp("sets")
    for builder in (Talks, Reviews):
        builder(data_dir=root, file_format="tfrecord").download_and_prepare()
    return root


def test_a_prepared_translation_set_gives_its_pairs(prepared):
    found = pairs("tfds", "talks", data_dir=prepared)
    assert sorted(found) == sorted(PAIRS)  # TFDS shuffles what it prepares
    assert pairs("tfds", "talks", "train[40%:]", data_dir=prepared) == found[2:]
    with pytest.raises(UserError, match="talks has no texts in 'fr': There is: de, en"):
        pairs("tfds", "talks", languages=("de", "fr"), data_dir=prepared)


def test_a_prepared_labelled_set_gives_texts_labels_and_classes(prepared):
    texts, labels, classes = text.labelled("tfds", "reviews", "train", str(prepared))
    assert (sorted(labels), classes) == ([0, 1, 1], ("bad", "good"))
    assert texts == [f"{label} schön" for label in labels]
    with pytest.raises(UserError, match=r"reviews test is not labelled: .* has label -1. Take another of train, test"):
        text.labelled("tfds", "reviews", "test", str(prepared))
    with pytest.raises(UserError, match="no sentence or text with a label, only de, en"):
        text.labelled("tfds", "talks", "train", str(prepared))


def test_glue_is_found_by_name(tmp_path):
    with tfds.testing.mock_data(num_examples=7):
        texts, labels, classes = text.labelled("tfds", "glue/sst2", "validation", str(tmp_path))
    assert classes == ("negative", "positive")
    assert len(texts) == len(labels) == 7
    assert all(isinstance(t, str) for t in texts)
    assert set(labels) <= {0, 1}


def test_a_set_that_tfds_lacks_is_named_with_the_nearest():
    with pytest.raises(UserError, match=r"did you mean .*wmt14_translate"):
        pairs("tfds", "wmt14_translat/de-en")
