"""Files that are not what they say, lack something, or are made to harm: one line, and nothing is loaded."""

import io
import json
import os
import zipfile
from pathlib import Path

import numpy as np
import pytest

import weights
from errors import UserError
from weights import files


class Running:
    """An object whose pickle makes a folder when it is loaded."""

    def __init__(self, folder: Path):
        self.folder = folder

    def __reduce__(self):
        return os.mkdir, (str(self.folder),)


@pytest.fixture
def npz(drawn, tmp_path) -> Path:
    params, model = drawn(activation="gelu_tanh")
    weights.write(tmp_path / "a.npz", params, "google", model)
    return tmp_path / "a.npz"


@pytest.fixture
def tensors(drawn, tmp_path) -> Path:
    params, model = drawn()
    weights.write(tmp_path / "a.safetensors", params, "timm", model)
    return tmp_path / "a.safetensors"


def refused(path, message, **options):
    with pytest.raises(UserError, match=message) as raised:
        weights.read(path, **options)
    assert "\n" not in str(raised.value)


def rewrite(path: Path, change) -> None:
    """The file anew, its arrays changed in place."""
    arrays, notes = files.read(path)
    change(arrays)
    path.unlink()
    files.write(path, arrays, notes)


@pytest.mark.parametrize("damage", ["text", "empty", "the other kind", "cut short", "a flipped bit"])
def test_a_file_that_is_not_what_its_name_says(npz, tensors, damage):
    whole = {path: bytearray(path.read_bytes()) for path in (npz, tensors)}
    for path, other in ((npz, tensors), (tensors, npz)):
        flipped = whole[path][:]
        flipped[3000 if path == npz else 12] ^= 0xFF
        content = {"text": b"text" * 9, "empty": b"", "the other kind": whole[other], "cut short": whole[path][:-30]}
        path.write_bytes((content | {"a flipped bit": flipped})[damage])
        kind = "no archive of plain arrays" if path == npz else "no .safetensors file of plain arrays"
        refused(path, rf"{kind}, or a damaged one")


def test_other_kinds_missing_files_and_folders(tmp_path, npz):
    refused(tmp_path / "none.npz", "there is no file")
    refused(npz.rename(tmp_path / "model.bin"), "pickles, which run what they hold, and are not loaded")
    (tmp_path / "folder.npz").mkdir()
    refused(tmp_path / "folder.npz", "folder.npz holds no weights")


def test_a_pickle_is_refused_and_does_not_run(tmp_path):
    np.savez(tmp_path / "a.npz", cls=np.array([Running(tmp_path / "ran")], object))
    refused(tmp_path / "a.npz", "pickles, which run what they hold")
    assert not (tmp_path / "ran").exists()


def entry(shape: tuple[int, ...], content: bytes) -> bytes:
    file = io.BytesIO()
    np.lib.format.write_array_header_1_0(file, {"descr": "<f4", "fortran_order": False, "shape": shape})
    return file.getvalue() + content


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("../cls.npy", entry((1,), b"1234"), "leads out of the archive"),
        ("/cls.npy", entry((1,), b"1234"), "leads out of the archive"),
        ("a\\..\\..\\cls.npy", entry((1,), b"1234"), "leads out of the archive"),
        ("C:cls.npy", entry((1,), b"1234"), "leads out of the archive"),
        ("run.py", b"print()", "which is no array"),
        ("cls.npy", entry((10**12,), b"1234"), "says that it is 4,000,000,000,"),
        ("cls.npy", entry((1000, 10**30), b""), "unsafe or damaged"),
        ("cls.npy", entry((10**6,), bytes(4 * 10**6)), "would grow to"),
    ],
)
def test_an_unsafe_archive_is_refused_before_it_is_read(tmp_path, monkeypatch, name, content, message):
    monkeypatch.setattr(files, "ALWAYS_ALLOWED", 1 << 20)
    monkeypatch.setattr(np.lib.format, "read_array", None)
    with zipfile.ZipFile(tmp_path / "a.npz", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(name, content)
    refused(tmp_path / "a.npz", message)


def test_one_name_twice_is_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
        archive.writestr("cls.npy", entry((1,), b"1234"))
        with pytest.warns(UserWarning, match="Duplicate"):
            archive.writestr("cls.npy", entry((1,), b"5678"))
    refused(tmp_path / "a.npz", "two entries of one name")


@pytest.mark.parametrize("length", [2**63, 10**9, 3])
def test_a_safetensors_header_of_a_wrong_length(tensors, length):
    tensors.write_bytes(length.to_bytes(8, "little") + tensors.read_bytes()[8:])
    refused(tensors, "no .safetensors file of plain arrays")


def test_missing_names_give_the_first_and_how_many(npz, tensors):
    rewrite(npz, lambda arrays: arrays.pop("Transformer/encoderblock_1/LayerNorm_0/bias"))
    refused(npz, r"lacks 'Transformer/encoderblock_1/LayerNorm_0/bias' of a ViT: nothing was loaded")
    rewrite(tensors, lambda arrays: [arrays.pop(name) for name in list(arrays) if name.startswith("blocks.1.")])
    refused(tensors, r"lacks 'blocks.1.norm1.weight' and 11 more of a ViT: nothing was loaded")


def test_half_a_part_is_missing_too(npz):
    rewrite(npz, lambda arrays: arrays.pop("head/bias"))
    refused(npz, "lacks 'head/bias' of a ViT")


def test_unknown_names_give_the_first_and_how_many(npz, tensors):
    rewrite(
        tensors, lambda arrays: arrays.update({f"blocks.{i}.adapter.weight": np.ones(16, np.float32) for i in range(3)})
    )
    refused(tensors, r"holds 'blocks.0.adapter.weight' and 2 more that a ViT has no place for: nothing was loaded")
    rewrite(
        npz, lambda arrays: arrays.update({"Transformer/encoderblock_01/LayerNorm_0/bias": np.ones(16, np.float32)})
    )
    refused(npz, r"holds 'Transformer/encoderblock_01/LayerNorm_0/bias' that")


def test_a_pointer_of_git_lfs_says_how_to_fetch_the_file(tmp_path):
    for suffix in files.SUFFIXES:
        path = tmp_path / f"a{suffix}"
        path.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 346000000\n")
        refused(path, r"is a pointer of Git LFS, not the file itself: fetch it with git lfs pull")


@pytest.mark.parametrize("prefix", ["module.", "backbone.", "model.", "state_dict.module.", "a.b.c."])
@pytest.mark.parametrize("head", [True, False])
def test_a_prefix_that_a_wrapper_has_put_before_names_is_left_out(tensors, prefix, head):
    plain = weights.read(tensors)
    arrays, notes = files.read(tensors)
    tensors.unlink()
    files.write(tensors, {n if n.startswith("head") and head else prefix + n: x for n, x in arrays.items()}, notes)
    found = weights.read(tensors)
    assert weights.flat(found.params).keys() == weights.flat(plain.params).keys()
    assert (found.scheme, found.notes[-1]) == ("timm", f"the names are read without '{prefix}', which they begin with")


def test_names_of_no_scheme(tmp_path):
    np.savez(tmp_path / "a.npz", train_images=np.zeros(3, np.float32), head=np.zeros(2, np.float32))
    refused(tmp_path / "a.npz", r"names of no scheme that is known \(facebook, google, .*\): its first is")


def test_shapes_that_contradict_one_another(npz, tensors):
    rewrite(npz, lambda arrays: arrays.update({"head/bias": np.ones(6, np.float32)}))
    refused(npz, r"contradicts itself: head/bias comes to \[6\], and the others need \[5\]")
    rewrite(tensors, lambda arrays: arrays.update({"blocks.2.mlp.fc1.weight": np.ones((16, 24), np.float32)}))
    refused(tensors, r"contradicts itself: blocks.2.mlp.fc1.weight comes to \[24, 16\], and the others need \[16, 24\]")


def test_shapes_of_another_kind_and_heads_that_do_not_divide(tensors):
    refused(tensors, r"attn.qkv.weight of shape \[48, 16\] is no kernel of a ViT with 3 heads: give --heads", heads=3)
    rewrite(tensors, lambda arrays: arrays.update({"patch_embed.proj.weight": np.ones((16, 48), np.float32)}))
    refused(tensors, r"patch_embed.proj.weight of shape \[16, 48\] is no kernel of a ViT\.")


@pytest.mark.parametrize("wrong", [np.nan, np.inf])
def test_values_that_are_not_finite(npz, wrong):
    rewrite(npz, lambda arrays: arrays["cls"].fill(wrong))
    refused(npz, "is damaged: 'cls' holds values that are not finite")


def test_integers_are_no_weights(npz):
    rewrite(npz, lambda arrays: arrays.update(cls=np.zeros((1, 1, 16), int)))
    refused(npz, "cls is int64, and weights are one of float16")


def test_notes_that_someone_else_wrote(tensors):
    for said in ("[]", "{", '{"heads": "many", "activation": "gelu", "norm_epsilon": 1}', "null"):
        arrays, _ = files.read(tensors)
        tensors.unlink()
        files.write(tensors, arrays, {"attend": said})
        refused(tensors, "cannot be used")


def test_weights_of_another_size_name_the_first_mismatch_and_what_would_fit(drawn, npz):
    found = weights.read(npz)
    for settings, message in (
        (
            {"width": 32},
            r"token is \[1, 1, 16\] in the file and \[1, 1, 32\] in the model. .*: give config.model that size",
        ),
        ({"depth": 2}, r"encoder/block_02/attention_norm/scale is \[16\] in the file and absent in the model"),
        ({"depth": 4, "scan": True}, r"encoder/block_03/.* is absent in the file and \[.*\] in the model"),
        ({"representation": True}, r"pre_logits/.* take --config.model.representation=False"),
        ({"head": "gap"}, r"token is \[1, 1, 16\] in the file and absent in the model.*--config.model.head=token"),
        ({"outputs": 6}, r"head/kernel .* its head tells 5 classes apart"),
        ({"patch": 2}, r"embedding/kernel is \[4, 4, 3, 16\] in the file and \[2, 2, 3, 16\] in the model"),
    ):
        params, _ = drawn(**settings)
        message = f"^{message}"
        with pytest.raises(AssertionError, match=message):
            raise AssertionError(weights.mismatch(found, params))


def test_a_file_is_written_whole_or_not_at_all_and_never_over_another(drawn, npz, tmp_path):
    params, model = drawn()
    for path, message in (
        (npz, "exists"),
        (tmp_path / "no" / "a.npz", "cannot write"),
        (tmp_path / "a.bin", "should end"),
    ):
        with pytest.raises(UserError, match=message):
            weights.write(path, params, "google", model)
    assert [path.name for path in tmp_path.iterdir()] == ["a.npz"]
    with pytest.raises(UserError, match="there is no scheme 'tim': did you mean 'timm'"):
        weights.write(tmp_path / "b.npz", params, "tim", model)


def test_a_note_holds_no_more_than_it_needs(tensors):
    assert json.loads(files.read(tensors)[1]["attend"]) == {"heads": 2, "activation": "gelu", "norm_epsilon": 1e-6}
