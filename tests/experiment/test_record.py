"""Records of runs: those of older versions, of newer ones, and without keys that came later.

tests/old_runs/format_N.json is the config.json of a run that a version with that format trained.
"""

import copy
import json
from pathlib import Path

import pytest

from errors import UserError
from experiment import config as configs
from experiment import record, restore

OLD = Path(__file__).parents[1] / "old_runs"
COMMANDS = {  # what trained them
    1: {"steps": 2, "optim.warmup_steps": 1, "model.depth": 1, "step.ema_decay": 0.9},
    2: {"steps": 2, "optim.warmup_steps": 1, "model.depth": 1, "step.ema_decay": 0.9},
}


def write(workdir: Path, saved: dict) -> Path:
    workdir.mkdir(exist_ok=True)
    (workdir / record.FILE).write_text(json.dumps(saved))
    return workdir


def saved(number: int) -> dict:
    return json.loads((OLD / f"format_{number}.json").read_text())


def differences(workdir: Path, command: dict) -> list[str]:
    wanted = configs.load("configs/vit_digits.py", command)
    return record.differences(configs.plain(restore.saved_config(workdir)), configs.plain(wanted))


def test_there_is_a_record_of_every_earlier_format():
    assert sorted(OLD.glob("format_*.json")) == [OLD / f"format_{n}.json" for n in range(1, record.FORMAT)]


@pytest.mark.parametrize("number", COMMANDS)
def test_a_run_of_an_earlier_format_is_that_of_the_same_command_today(number, workdir):
    assert saved(number).get("format", 1) == number
    write(workdir, saved(number))
    assert record.read(workdir)["format"] == record.FORMAT
    assert differences(workdir, COMMANDS[number]) == []
    assert differences(workdir, COMMANDS[number] | {"model.depth": 2}) == ["model.depth: 1 there, 2 here"]
    assert restore.saved_config(workdir).step.ema_warmup is False  # its average had none


def test_a_record_without_a_newer_key_has_its_default(workdir):
    whole = saved(2)
    filled = configs.plain(restore.saved_config(write(workdir, whole)))
    tried = 0
    for section in ("model", "task", "data", "optim", "step", "checkpoint", "evaluation", "log", "profile"):
        for key in whole[section]:
            less = copy.deepcopy(whole)
            del less[section][key]
            try:
                now = configs.plain(restore.saved_config(write(workdir, less)))
            except UserError:  # it has no default: every version has written it
                continue
            if key in now[section] and now[section][key] == filled[section][key]:
                tried += 1
                assert differences(workdir, COMMANDS[2]) == []
    assert tried > 50


def test_a_record_of_a_newer_version_names_its_commit(workdir):
    write(workdir, saved(2) | {"format": record.FORMAT + 1, "commit": "abc123"})
    with pytest.raises(UserError, match=r"was written by a newer version, in format .*: use the code of commit abc123"):
        record.read(workdir)
    newer = saved(2)
    newer["model"]["rotary_embedding"] = True
    with pytest.raises(UserError, match=r"it has model.rotary_embedding, which this version does not have"):
        restore.saved_config(write(workdir, newer))
