"""A manifest tells of every change to a saved step, whichever file it meets."""

import json
import random
import shutil
import subprocess
from pathlib import Path

import jax.numpy as jnp
import pytest

from training import checkpoint, manifest

STATE = {"step": jnp.int32(7), "params": {"kernel": jnp.arange(6000.0).reshape(2000, 3), "bias": jnp.ones(3)}}


@pytest.fixture(scope="module")
def saved(tmp_path_factory) -> Path:
    """The folder of a step."""
    folder = tmp_path_factory.mktemp("saved")
    with checkpoint.Checkpoints(folder, keep_best="test/accuracy") as checkpoints:
        checkpoints.save(7, STATE, {"seed": 1})
        checkpoints.rate(7, {"test/accuracy": 0.5})
    return folder / "7"


@pytest.fixture
def step(saved, tmp_path) -> Path:
    return shutil.copytree(saved, tmp_path / "7")


def names(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def flip(path: Path, position: int, bit: int) -> None:
    content = bytearray(path.read_bytes())
    content[position] ^= 1 << bit
    path.write_bytes(content)


def test_a_step_as_it_was_written_is_good(step):
    assert manifest.exists(step)
    assert manifest.damage(step) == manifest.damage(step, quick=True) == ""


def test_the_manifest_is_there_before_the_step_has_its_name(tmp_path, monkeypatch):
    """A kill after the commit finds a step whose state is verified; Orbax's notes on it are looked at for sense."""
    write, found = manifest.write, []

    def watched(folder: Path) -> None:
        write(folder)
        found.append((names(folder), (tmp_path / "7").exists()))

    monkeypatch.setattr(manifest, "write", watched)
    monkeypatch.setattr(manifest, "complete", lambda folder: None)
    with checkpoint.Checkpoints(tmp_path) as checkpoints:
        checkpoints.save(7, STATE, {})
    ((before, committed),) = found
    assert not committed
    assert set(names(tmp_path / "7")) - set(before) == {manifest.COMMITTED}
    assert manifest.damage(tmp_path / "7") == ""
    flip(tmp_path / "7" / manifest.METADATA, 0, 0)
    assert manifest.damage(tmp_path / "7") == f"{manifest.METADATA} is not as it was written"


def test_one_flipped_bit_is_found_in_every_file(step):
    rng, found = random.Random(0), names(step)
    assert len(found) > 15
    for name in found:
        content = (step / name).read_bytes()
        for _ in range(8):
            flip(step / name, rng.randrange(len(content)), rng.randrange(8))
            assert manifest.damage(step) == f"{name} is not as it was written"
            (step / name).write_bytes(content)
    assert manifest.damage(step) == ""


def test_a_cut_file_is_found_wherever_it_is_cut(step):
    for name in names(step):
        content = (step / name).read_bytes()
        for length in (0, len(content) // 2, len(content) - 1):
            (step / name).write_bytes(content[:length])
            assert manifest.damage(step) == f"{name} is not as it was written"
        (step / name).write_bytes(content)


def test_a_missing_file_is_named(step):
    for name in names(step):
        if name != manifest.FILE:
            (step / name).rename(step.parent / "gone")
            assert manifest.damage(step) == f"{name} is missing"
            (step.parent / "gone").rename(step / name)


def test_a_file_that_cannot_be_read_is_named(step):
    data = step / "state" / "manifest.ocdbt"
    data.unlink()
    data.mkdir()
    assert manifest.damage(step) == "state/manifest.ocdbt cannot be read (Is a directory)"


def test_without_a_manifest_the_metadata_must_be_there_and_readable(step):
    (step / manifest.FILE).unlink()
    assert not manifest.exists(step)
    assert manifest.damage(step) == ""
    (step / "state" / "manifest.ocdbt").unlink()
    assert manifest.damage(step) == "state/manifest.ocdbt is missing"
    (step / "record" / "metadata").write_bytes(b"\xff")
    assert manifest.damage(step) == "record/metadata is not as it was written"
    (step / manifest.METADATA).unlink()
    assert manifest.damage(step) == f"{manifest.METADATA} is missing"


def test_an_empty_folder_is_damage(tmp_path):
    assert manifest.damage(tmp_path) == "its folder is empty"


def test_a_quick_look_is_at_small_files_and_misses_none_that_are_gone(step, monkeypatch):
    """What a kill leaves of a step that was being deleted may stay for the next deletion."""
    large = max((step / name for name in names(step)), key=lambda path: path.stat().st_size)
    monkeypatch.setattr(manifest, "SMALL", large.stat().st_size - 1)
    flip(large, 100, 0)
    assert (manifest.damage(step, quick=True), manifest.damage(step) != "") == ("", True)
    (step / "record" / "metadata").unlink()
    assert manifest.damage(step, quick=True) == ""
    flip(step / "metrics" / "metrics", 3, 0)
    assert manifest.damage(step, quick=True) == "metrics/metrics is not as it was written"


@pytest.mark.skipif(not shutil.which("sha256sum"), reason="sha256sum is not installed")
def test_sha256sum_reads_a_manifest(step):
    check = ["sha256sum", "--check", "--strict", "--quiet", manifest.FILE]
    assert subprocess.run(check, cwd=step, capture_output=True).returncode == 0
    (step / "record" / "metadata").write_text(json.dumps({"seed": 2}))
    assert b"record/metadata: FAILED" in subprocess.run(check, cwd=step, capture_output=True).stdout
