"""Plans for this machine. results/plan_table.py covers machines that need libtpu or JAX's CUDA plugin."""

import importlib.util
import json
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

import experiment
import plan
from data import presence
from errors import UserError
from experiment import config as configs
from planning import checks, cycles, estimate, fit, machines, page, programs
from tests.commandline import command
from tests.conftest import tiny

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def machine() -> machines.Machine:
    return machines.find("this machine")


def planned(machine: machines.Machine, folder: Path, **changes: object) -> dict:
    """A batch so large that activations are most of the memory."""
    changes = {"data.batch_size": 512} | changes
    return plan.plan(tiny(**changes), "configs/tiny.py", folder, machine, say=lambda line: None)


@pytest.fixture(scope="module")
def whole(machine, tmp_path_factory) -> dict:
    return planned(machine, tmp_path_factory.mktemp("whole"))


def test_a_plan_holds_all_that_its_page_says(whole):
    assert json.loads(json.dumps(whole)) == whole
    assert whole["machine"]["devices"] == 8
    assert whole["data"]["here"]
    assert whole["workdir"]["writable"]
    assert whole["program"]["fits"]
    assert whole["change"] is None
    assert whole["flops_a_step"] > 0
    assert [line.split()[0] for line in whole["attention"]] == ["Attention"]
    assert 0 < whole["step"]["low"] < whole["step"]["seconds"] < whole["step"]["high"]
    assert whole["hours"]["seconds"] == pytest.approx(6 * whole["step"]["seconds"] / 3600)
    text = page.text(whole)
    total = sum(whole["program"]["memory"].values())
    for said in (
        *whole["attention"],
        "configs/tiny.py on this machine",
        "mesh 8 x 1 x 1",
        "fits: 0%",
        page.gigabytes(total),
        "In all       6 steps",
    ):
        assert said in text


def test_parameters_by_part_add_up(machine, tmp_path, whole):
    run = experiment.build(tiny(), tmp_path)
    assert whole["parameters"]["total"] == run.parameters() == sum(whole["parameters"]["parts"].values())
    assert whole["parameters"]["parts"]["head"] == 16 * 10 + 10
    # Adam's two moments and its count; the state's own count of steps, and the usual loss with its weight.
    state = 3 * 4 * run.parameters() + 4 + 4 + 8
    assert state <= whole["workdir"]["checkpoint_bytes"] <= state + 8


def test_memory_of_arguments_is_that_of_the_shards(machine, tmp_path):
    run = experiment.build(tiny(**{"parallel.fsdp": 2, "parallel.tensor": 2}), tmp_path, devices=machine.devices)
    batch = programs.largest(run.pipeline.shapes)
    parts = programs.resident(run, batch)
    compiled = run.train_step.trace(run.abstract_state, run.devices.lay_out_batch(batch)).lower().compile()
    assert compiled.memory_analysis().argument_size_in_bytes == sum(parts.values())
    assert parts["parameters"] < 4 * run.parameters() / 2
    assert parts["batch"] == 32 // 4 * (8 * 8 + 4) * 4  # image, label, mask; partner and share, as images are mixed


def test_the_nearest_change_that_fits_is_found_by_trying(machine, tmp_path, whole):
    limit = round(0.75 * sum(whole["program"]["memory"].values()))
    small = planned(replace(machine, chip=replace(machine.chip, memory=limit)), tmp_path)
    assert not small["program"]["fits"]
    assert small["change"]["flags"] == "--config.step.accumulate=2"
    assert [attempt["fits"] for attempt in small["change"]["tried"]] == [True]
    assert sum(small["change"]["program"]["memory"].values()) <= limit
    text = page.text(small)
    assert "DOES NOT FIT" in text
    assert "that were tried or ruled out: --config.step.accumulate=2" in text


@pytest.fixture
def search(machine, tmp_path, monkeypatch) -> Callable:
    """Searches with made-up programs: (memory, activations, batch) -> (changes or None, attempts, what was compiled).

    A program's temporaries are the gradients twice and the activations. Memory, and the activations of a whole batch by
    remat, are multiples of the state.
    """

    def nearest(memory: float, activations: dict[str, float], batch: int = 512) -> tuple:
        compiled: list[str] = []

        def build(changes: dict) -> experiment.Run:
            return experiment.build(tiny(**{"data.batch_size": batch} | changes), tmp_path, devices=machine.devices)

        def program(run: experiment.Run, machine: machines.Machine, batch: dict) -> programs.Program:
            grown = activations[run.config["model"]["remat"]] * state / run.settings.accumulate
            temporaries = round(2 * programs.shards(run.abstract_state.params) + grown)
            compiled.append(f"{run.config['model']['remat']} {run.settings.accumulate} fsdp={run.devices.fsdp}")
            memory = programs.resident(run, batch) | {"temporaries": temporaries}
            return programs.Program(memory, machine.chip.memory, "a program", 0.0)

        run = build({})
        shapes = programs.largest(run.pipeline.shapes)
        state = sum(programs.resident(run, shapes).values()) + programs.shards(run.abstract_state.params)
        small = replace(machine, chip=replace(machine.chip, memory=round(memory * state)))
        monkeypatch.setattr(programs, "compiled", program)
        fitting, tried = fit.nearest(build, run, program(run, small, shapes), small, say=lambda line: None)
        return fitting and fitting[0], tried, compiled[1:]

    return nearest


def test_parameters_that_do_not_fit_are_sharded(search):
    """If state and gradients alone do not fit, nothing is compiled before they are sharded over more devices."""
    nothing = dict.fromkeys(fit.REMAT, 0.0)
    split = {"parallel.mode": "mesh", "parallel.data": 0, "parallel.fsdp": 2}
    changes, tried, compiled = search(0.9, nothing, batch=32)
    assert changes == split
    flags = "--config.parallel.mode=mesh --config.parallel.fsdp=2"
    assert [(attempt["flags"], attempt["fits"]) for attempt in tried] == [("state and gradients", False), (flags, True)]
    assert compiled == ["none 1 fsdp=2"]
    changes, tried, compiled = search(0.001, nothing, batch=32)
    assert changes is None
    assert [attempt["flags"].split("=")[-1] for attempt in tried] == ["state and gradients", "2", "4", "8"]
    assert not compiled


def test_what_earlier_programs_rule_out_is_not_compiled(search):
    """With 64 examples a device at most eight micro-batches are tried: first the fewest, then the most, then those
    between. "none" is ruled out by the run's own program, "dots" with eight by that with one."""
    changes, tried, compiled = search(27, {"none": 640.0, "dots": 320.0, "full": 80.0})
    assert changes == {"model.remat": "full", "step.accumulate": 4}
    assert compiled == ["dots 1 fsdp=1", "full 1 fsdp=1", "full 8 fsdp=1", "full 4 fsdp=1"]
    assert [attempt["flags"].split("=")[-1] for attempt in tried] == ["2", "4", "8", "dots", "8", "full", "8", "2", "4"]
    assert [attempt["fits"] for attempt in tried] == [False] * 6 + [True, False, True]


def test_activations_are_the_same_under_any_split(search):
    """The difference between one micro-batch and eight rules out one, two and four under a split as well."""
    changes, tried, compiled = search(1.2, {"none": 3.2, "dots": 2.4, "full": 1.6})
    assert changes == {"step.accumulate": 8, "parallel.mode": "mesh", "parallel.data": 0, "parallel.fsdp": 2}
    unsplit = ["none 8", "dots 1", "dots 8", "full 1", "full 8"]
    assert compiled == [*(f"{changes} fsdp=1" for changes in unsplit), "none 8 fsdp=2"]
    assert [attempt["fits"] for attempt in tried] == [False] * 10 + [True]


class Clock:
    """Says of the first step that it took 9 seconds, and of each later one 0.5; a step reads it before and after."""

    def __init__(self):
        self.reads, self.now = 0, 0.0

    def __call__(self) -> float:
        if self.reads % 2:
            self.now += 9.0 if self.reads == 1 else 0.5
        self.reads += 1
        return self.now


def test_a_step_on_this_machine_is_run_and_its_compilation_is_not_counted(machine, tmp_path):
    run = experiment.build(tiny(**{"data.batch_size": 16}), tmp_path)
    clock = Clock()
    assert estimate.timed(run, programs.largest(run.pipeline.shapes), clock) == 0.5
    assert clock.reads == 2 * (1 + estimate.STEPS)


@pytest.mark.parametrize(
    ("here", "patience", "memory", "runs"),
    [(True, 10.0, 2, True), (True, 0.0, 2, False), (True, 10.0, 3, False), (False, 10.0, 2, False)],
)
def test_only_a_short_and_small_step_on_this_machine_is_run(
    machine, tmp_path, monkeypatch, here, patience, memory, runs
):
    run = experiment.build(tiny(**{"data.batch_size": 16}), tmp_path)
    monkeypatch.setattr(estimate, "timed", lambda run, batch: 123.0)
    monkeypatch.setattr(estimate, "PATIENCE", patience)
    program = programs.Program({"temporaries": memory}, 4, "a program", 0.0)
    batch = programs.largest(run.pipeline.shapes)
    found = estimate.step_time(run, replace(machine, here=here), batch, program)
    assert (found.seconds == 123.0) == runs
    assert ("steps run here" in found.how) == runs


def test_a_tpu_program_fits_only_if_it_does_when_compiled_in_full(machine, monkeypatch):
    """As ViT-H/14 on v5e:4x4, of 16.91 GB: 16.32 with low effort, 17.28 with full effort."""
    needs = {True: 1632, False: 1728}
    tpu = replace(machine, platform="tpu")

    def attempt(run: None, machine: machines.Machine, batch: dict, quick: bool) -> programs.Program:
        return programs.Program({"temporaries": needs[quick]}, limit, "a program", 0.0)

    monkeypatch.setattr(programs, "attempt", attempt)
    limit = 1691
    assert not programs.compiled(None, tpu, {}).fits
    assert programs.compiled(None, machine, {}).fits  # elsewhere there is one effort
    limit = 1800
    program = programs.compiled(None, tpu, {})
    assert program.fits
    assert program.total == needs[False]
    assert program.quick.total == needs[True]


def test_a_mesh_that_does_not_multiply_to_the_topology_is_an_error(machine, tmp_path):
    with pytest.raises(UserError, match="does not make the 8 devices"):
        planned(machine, tmp_path, **{"parallel.fsdp": 3})


def test_pmap_is_planned_as_a_mesh(machine):
    config, notes = plan.compilable(tiny(**{"parallel.mode": "pmap"}), machine)
    assert config.parallel.mode == "mesh"
    assert "pmap" in notes[0]
    with pytest.raises(UserError, match="take mode=mesh"):
        plan.compilable(tiny(**{"parallel.mode": "pmap", "parallel.fsdp": 2}), machine)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("v5e:4by4", "is not a machine: did you mean 'v5e:4x4'"),
        ("v9:2x2", "is not a machine"),
        ("h10x8", "did you mean 'h100x8'"),
        ("h100x12", "whole hosts of 8: try h100x8"),
        ("v5e:4x4", r"libtpu, which is not installed: \S*python -m pip install 'libtpu==0.0.42.\*'"),
        ("v3-8", "libtpu, which is not installed"),
        ("a100x8", r"CUDA plugin, which is not installed: \S*python -m pip install jax-cuda13-plugin"),
    ],
)
def test_a_machine_that_cannot_be_compiled_for_is_one_line(name, message, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UserError, match=message):
        machines.find(name)


def test_the_command_ends_with_2_at_an_unknown_topology():
    done = command("plan.py", "--topology=v5e-17")
    assert done.returncode == 2
    assert done.stderr.startswith("error: --topology='v5e-17' is not a machine: did you mean 'v5e-16'?")
    assert done.stderr.count("\n") == 1


def test_the_command_line_says_whether_the_machine_is_here():
    assert machines.elsewhere(["plan.py", "--topology=v5e:4x4"])
    assert machines.elsewhere(["plan.py", "--topology", "v5e:4x4"])
    assert not machines.elsewhere(["plan.py", "--topology", "this machine"])
    assert not machines.elsewhere(["plan.py", "--config=configs/vit_digits.py"])


def test_images_that_are_not_here_are_planned_by_their_shapes(machine, tmp_path):
    config = configs.load("configs/vit_cifar10.py:debug")
    config.steps, config.epochs = 0, 3.0
    config.data.data_dir = str(tmp_path)
    run, _, data = plan.builder(config, tmp_path, machine)
    assert not data["here"]
    assert "NOT HERE" in data["lines"][0]
    assert run.pipeline.sizes == {"outputs": 10}
    assert run.steps == round(3 * 50_000 / 16)
    assert programs.largest(run.pipeline.shapes)["image"].shape == (16, 32, 32, 3)
    assert not any(tmp_path.iterdir())  # nothing was downloaded or prepared


@pytest.mark.parametrize(
    ("name", "outputs"),
    [
        ("detr_coco", 80),
        ("detr_bccd", 3),
        ("segmenter_ade20k", 150),
        ("swin_camvid", 11),
        ("video_kinetics400", 400),
        ("clip_coco:B/32", None),
        ("gpt2:XL", 50_257),
    ],
)
def test_the_large_configs_of_every_kind_are_planned_without_their_data(machine, tmp_path, name, outputs):
    file, _, variant = name.partition(":")
    config = configs.load(f"configs/{file}.py" + f":{variant}" * bool(variant))
    config.data.data_dir = str(tmp_path)
    if file == "gpt2":  # as its docstring says
        config.data.tokenizer, config.data.vocabulary_size, config.data.batch_size = "bpe", 50_257, 8
    config, _ = plan.compilable(config, machine)
    run, _, data = plan.builder(config, tmp_path, machine)
    assert not data["here"]
    assert run.steps > 0
    assert outputs in (None, run.pipeline.sizes["outputs"])


def test_sentences_that_are_not_here_are_planned_at_their_longest(machine, tmp_path):
    config = configs.load("configs/transformer_wmt14.py:base:debug")
    config.data.data_dir = str(tmp_path)
    _, build, _ = plan.builder(config, tmp_path, machine)
    run = build({"step.accumulate": 2})
    assert run.pipeline.sizes == {"outputs": 300, "source_vocabulary": None}
    rows = 512 // 64 // (8 * 2) or 1
    assert programs.largest(run.pipeline.shapes)["target"].shape == (rows * 16, 64)
    with pytest.raises(UserError, match="set --config"):
        build({"steps": 0, "epochs": 1.0})


def test_made_up_data_and_folders_are_looked_for(tmp_path):
    assert presence.look("synthetic", "10", "").here
    absent = presence.Presence(False, str(tmp_path.parent / "here"))
    for source in presence.FOUND_BY_PATH:
        assert presence.look(source, "here", str(tmp_path.parent)) == absent
        assert presence.look(source, tmp_path.name, str(tmp_path.parent)).here
    read = {path.stem for room in ("sources", "text") for path in (ROOT / "data" / room).glob("*.py")}
    made_up = {
        "canvases",
        "dates",
        "glyph_names",
        "glyphs",
        "moving_digits",
        "python",
        "questions",
        "recall",
        "reverse",
    }
    assert read - {*presence.FOUND_BY_PATH} == made_up | {"synthetic", "tfds", "__init__"}


def test_libraries_of_other_versions_are_named(monkeypatch):
    installed = {name: version for name, version in checks.versions()["installed"].items() if name != "python"}
    monkeypatch.setattr(checks, "installed_version", lambda name: "0.1" if name == "jax" else installed.get(name))
    versions = checks.versions()
    assert not versions["tested"]
    assert versions["installed"]["jax"] == "0.1"
    assert versions["differ"]["jax"] == "0.10.2"


def test_a_workdir_without_room_is_said(tmp_path):
    place = checks.workdir(tmp_path / "new" / "run", state_bytes=1 << 60, kept=2)
    assert place["writable"]
    assert not place["room"]
    assert place["needed_bytes"] == 3 << 60


PROGRAM = """
HloModule step

%add (a: f32[], b: f32[]) -> f32[] {
  ROOT %sum = f32[] add(%a, %b)
}

%turn (p: (s32[], f32[8])) -> (s32[], f32[8]) {
  %f = f32[8]{0} fusion(%x), kind=kLoop, calls=%inner, backend_config={"estimated_cycles":"100"}
  %all-reduce.1 = (f32[4]{0}, bf16[2,4]{1,0}) all-reduce(%f, %g), replica_groups={{0,1,2,3}}, to_apply=%add
}

%least (p: (s32[], f32[8])) -> pred[] {
  %bound = s32[]{:T(128)} constant(12)
  ROOT %lt = pred[] compare(%i, %bound), direction=LT, backend_config={"estimated_cycles":"1"}
}

%outer (p: (s32[], f32[8])) -> (s32[], f32[8]) {
  %inside = (s32[], f32[8]) while(%t), condition=%least, body=%turn
  %gathered = f32[16]{0} all-gather(%x), replica_groups=mesh['a'=4,'b'=2] {'a'}, dimensions={0}
}

ENTRY %main (x: f32[8]) -> f32[8] {
  %loop = (s32[], f32[8]) while(%t), condition=%other, body=%outer, backend_config={"known_trip_count":{"n":"3"}}
  ROOT %last = f32[8]{0} fusion(%y), kind=kLoop, calls=%inner, backend_config={"estimated_cycles":"7"}
}
"""


def test_a_loops_cost_counts_as_often_as_it_turns():
    """Each of four devices in a ring sends 2 x 3/4 of what is reduced, and 3/4 of what is gathered."""
    turns = 3 * 12
    reduced, gathered = (4 * 4 + 8 * 2) * 2 * 3 // 4, 16 * 4 * 3 // 4
    assert cycles.cost(PROGRAM) == cycles.Cost(cycles=turns * (100 + 1) + 7, sent=turns * reduced + 3 * gathered)


def test_a_program_that_libtpu_refuses_says_how_much_it_needs():
    refused = (
        "RESOURCE_EXHAUSTED: Ran out of memory on HBM, the total memory required for HLO temporaries (45.59G) exceeds "
        "available HBM (15.75G)."
    )
    assert programs.too_large(refused) == int(45.59 * 2**30)
    assert (
        programs.too_large("RESOURCE_EXHAUSTED: Used 19.00G of 15.75G hbm. Exceeded hbm capacity by 3.25G.")
        == 19 * 2**30
    )
    assert programs.too_large("INTERNAL: something else") is None


def test_activations_are_taken_out_of_the_temporaries():
    memory = {"parameters": 10, "temporaries": 100, "program": 1}
    assert programs.split(memory, 0.7) == {"parameters": 10, "activations": 70, "temporaries": 30, "program": 1}
    assert programs.split(memory, None) == memory


def test_target_configs_name_every_gpu():
    for gpu in machines.GPUS:
        text = machines.target_config(gpu)
        assert f"memory_bandwidth: {int(machines.GPUS[gpu].bandwidth)}" in text
        assert text.count("{") == text.count("}")
        assert math.isclose(float(text.split("device_memory_size: ")[1].split()[0]), machines.GPUS[gpu].memory / 0.92)
