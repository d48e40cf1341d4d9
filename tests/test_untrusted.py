"""Weights, archives and records from others are data: nothing in them runs, and none of their paths leads elsewhere."""

import ast
import io
import os
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pytest

from data.builders.imagenet21k import files_of
from data.pipelines import ragged
from data.sources.arrays import Source
from errors import UserError

ROOT = Path(__file__).parents[1]
PICKLES = {"pickle", "cPickle", "dill", "cloudpickle", "joblib", "shelve", "marshal"}
RUNS = {"eval", "exec", "compile", "__import__"}
UNPACKS = {"extractall", "extract", "unpack_archive"}


def dangers(source: str) -> list[str]:
    """The lines of a program that load pickles, run text, hand it to a shell, or unpack an archive unfiltered."""
    found = []
    for node in ast.walk(ast.parse(source)):
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [node.module or ""]
        bad = any(name.split(".")[0] in PICKLES for name in names)
        if isinstance(node, ast.Call):
            given = {keyword.arg: keyword.value for keyword in node.keywords}
            constant = {name: value.value for name, value in given.items() if isinstance(value, ast.Constant)}
            fixed = bool(node.args) and isinstance(node.args[0], ast.Constant)  # a command that is always the same
            bad |= "allow_pickle" in given and constant.get("allow_pickle") is not False
            bad |= "shell" in given and constant.get("shell") is not False and not fixed
            if isinstance(node.func, ast.Name):
                bad |= node.func.id in RUNS
            if isinstance(node.func, ast.Attribute):
                bad |= node.func.attr in UNPACKS and constant.get("filter") != "data"
                of = node.func.value.id if isinstance(node.func.value, ast.Name) else ""
                bad |= (of, node.func.attr) in {("yaml", "load"), ("torch", "load"), ("os", "system"), ("os", "popen")}
        if bad:
            found.append(f"{node.lineno}: {ast.unparse(node)}")
    return found


@pytest.mark.parametrize(
    "line",
    [
        *("import pickle", "from pickle import load", "import joblib as j", "import pickle.x"),
        *("np.load(p, allow_pickle=True)", "np.load(p, allow_pickle=trust)", "torch.load(p)", "yaml.load(p)"),
        *("tar.extractall(d)", "tar.extract(m, d, filter='fully_trusted')", "shutil.unpack_archive(a, d)"),
        *("eval(text)", "x = exec(text)", "__import__(n)", "os.system(c)", "subprocess.run(c, shell=True)"),
    ],
)
def test_what_is_dangerous_is_found(line):
    assert len(dangers(line)) == 1


def test_nothing_of_the_project_is_dangerous():
    safe = "np.load(p, allow_pickle=False); tar.extractall(d, filter='data'); model.eval(); run('ls', shell=True)"
    assert not dangers(safe)
    paths = [p for p in ROOT.rglob("*.py") if not {".venv", "runs", ".cache"} & set(p.relative_to(ROOT).parts)]
    assert len(paths) > 80
    assert {str(p.relative_to(ROOT)): dangers(p.read_text()) for p in paths if dangers(p.read_text())} == {}


class Running:
    """An object whose pickle makes a folder when it is loaded."""

    def __init__(self, folder: Path):
        self.folder = folder

    def __reduce__(self):
        return os.mkdir, (str(self.folder),)


@pytest.mark.parametrize("which", ["train_images", "train_labels", "classes"])
def test_an_archive_with_a_pickle_in_it_is_refused_and_does_not_run(tmp_path, which):
    content = {"train_images": np.zeros((2, 8, 8), np.uint8), "train_labels": np.zeros(2, int)}
    np.savez(tmp_path / "set.npz", **content | {which: np.array([Running(tmp_path / "ran")], object)})
    with pytest.raises(UserError, match="Arrays of Python objects are pickles, which run what they hold"):
        Source(str(tmp_path / "set.npz"), "train")
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("damage", ["text", "empty", "one array", "a flipped bit", "cut short"])
def test_a_file_that_is_no_archive_is_one_line(tmp_path, damage):
    path = tmp_path / "set.npz"
    np.savez(path, train_images=np.zeros((2, 8, 8), np.uint8), train_labels=np.zeros(2, int))
    whole = bytearray(path.read_bytes())
    np.save(array := io.BytesIO(), np.zeros(3))
    flipped = whole[:150] + bytes([whole[150] ^ 1]) + whole[151:]
    content = {"text": b"text", "empty": b"", "one array": array.getvalue()}
    content |= {"a flipped bit": flipped, "cut short": whole[:-30]}
    path.write_bytes(content[damage])
    with pytest.raises(UserError, match=r"set.npz is no archive of plain arrays, or a damaged one") as raised:
        Source(str(path), "train")
    assert "\n" not in str(raised.value)


def archive(path: Path, shape: tuple[int, ...], compressed: bytes = b"") -> Path:
    """An archive whose images claim a shape and are `compressed`, unpacked."""
    np.lib.format.write_array_header_1_0(header := io.BytesIO(), dict(descr="|u1", fortran_order=False, shape=shape))
    np.save(labels := io.BytesIO(), np.zeros(2, int))
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as out:
        out.writestr("train_images.npy", header.getvalue() + compressed)
        out.writestr("train_labels.npy", labels.getvalue())
    return path


@pytest.mark.parametrize("shape", [(2**46,), (2, 2**40, 8, 3), (2, -8, -8, 3), (-1, 8, 8, 3)])
def test_an_array_that_claims_more_than_its_file_holds_is_damaged(tmp_path, shape):
    with pytest.raises(UserError, match="damaged"):
        Source(str(archive(tmp_path / "set.npz", shape, bytes(100))), "train")


def test_an_archive_that_unpacks_to_very_much_is_not_unpacked(tmp_path):
    path = archive(tmp_path / "set.npz", (2, 2**10, 2**10), bytes(2**21))
    assert path.stat().st_size < 2**14
    assert Source(str(path), "train", memory_limit_mb=3).size == 2
    with pytest.raises(UserError, match=r"unpacks to 2 MiB. .* --config.data.memory_limit_mb=3"):
        Source(str(path), "train", memory_limit_mb=1)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (dict(train_images=np.zeros((2, 0, 8, 3), np.uint8)), "images should have a height, a width"),
        (dict(train_images=np.zeros((2, 8, 8, 2), np.uint8)), r"1 \(grey\), 3 \(RGB\) or 4 \(RGBA\) channels"),
        (dict(train_images=np.zeros((2, 3, 8, 8), np.uint8)), "The channels come last"),
        (dict(train_images=np.zeros((2, 8, 8, 3))), "should be uint8"),
        (dict(train_images=np.uint8(1), train_labels=np.int64(1)), "it holds no examples"),
        (dict(train_labels=np.array([0, 2**40])), "has label 1099511627776: labels count the classes from 0 on"),
        (dict(train_labels=np.full(2, 2**63 + 1, np.uint64)), "has label 9223372036854775809"),
        (dict(train_labels=np.array([0, -1])), "example 1 has label -1"),
        (dict(train_labels=np.zeros(2)), "labels should be integers"),
    ],
)
def test_arrays_that_are_no_labelled_images_say_what_they_are(tmp_path, wrong, message):
    right = dict(train_images=np.zeros((2, 8, 8), np.uint8), train_labels=np.zeros(2, int))
    np.savez(tmp_path / "set.npz", **right | wrong)
    with pytest.raises(UserError, match=message):
        Source(str(tmp_path / "set.npz"), "train")


def test_a_tar_is_read_and_never_unpacked(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with tarfile.open(fileobj=(archive := io.BytesIO()), mode="w") as out:
        for name in ("../outside.JPEG", "/absolute.JPEG", "n1/../../up.JPEG"):
            member = tarfile.TarInfo(name)
            member.size = 3
            out.addfile(member, io.BytesIO(b"abc"))
    archive.seek(0)
    assert [(path.name, file.read()) for path, file in files_of(archive, "r|")] == [
        ("outside.JPEG", b"abc"),
        ("absolute.JPEG", b"abc"),
        ("up.JPEG", b"abc"),
    ]
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["../tokenizer.model", "tokenizer./../../x.model", "/etc/passwd", ".."])
def test_a_workdir_names_no_tokenizer_outside_it(tmp_path, name):
    with pytest.raises(UserError, match="names a tokenizer outside that folder"):
        ragged.load({name: "0" * 16}, tmp_path)
