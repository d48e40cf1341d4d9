"""The launch scripts against stand-ins for the programs they start: output, restarts, requeues and signals."""

import os
import re
import shlex
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest
import yaml

LAUNCH = Path(__file__).parents[2] / "launch"
PAGE = (LAUNCH / "README.md").read_text()
SCRIPTS = sorted(path.name for path in LAUNCH.glob("*.sh"))
# Notes its call, then does what the first line of its answers says, "STATUS OUTPUT", and drops that line.
STAND_IN = """#!/usr/bin/env bash
name=${0##*/}
echo "$name $*" >>"$FAKES/calls"
[[ $name == gcloud ]] && name=$4
[[ $name == kubectl ]] && cat >"$FAKES/applied"
[[ $name == srun ]] && echo "${JAX_LOCAL_DEVICE_IDS-none} ${SRUN_CPUS_PER_TASK-none}" >"$FAKES/environment"
[[ -s $FAKES/$name ]] || exit 0
read -r status output <"$FAKES/$name"
sed -i 1d "$FAKES/$name"
[[ -z $output ]] || echo "$output"
exit "$status"
"""
# Notes each signal, and leaves with the status in $STOPPED a moment after the last.
STOPPABLE = """#!/usr/bin/env bash
trap 'echo INT >>"$FAKES/signals"; left=3' INT
trap 'echo TERM >>"$FAKES/signals"; left=3' TERM
left=1000
echo ready >>"$FAKES/calls"
while ((left-- > 0)); do sleep 0.01; done
exit "$STOPPED"
"""
TRAIN = "--config=configs/vit_imagenet.py:B/16"
KUBERNETES = "--image=attend:1 --claim=runs --accelerators=nvidia.com/gpu=8"
TPU = "--zone=z --type=v5litepod-16 --version=v2"


class Project:
    """A folder with the scripts, a stand-in for .venv, and stand-ins for programs first in the PATH."""

    def __init__(self, folder: Path):
        self.folder, self.fakes = folder / "code", folder / "fakes"
        self.fakes.mkdir()
        shutil.copytree(LAUNCH, self.folder / "launch")
        (self.folder / ".venv" / "bin").mkdir(parents=True)
        (self.folder / "requirements.txt").write_text("jax==1.2.3\nflax==4\n")
        (self.folder / "train.py").touch()
        for name in ("srun", "scontrol", "kubectl", "gcloud", "nvidia-smi", "make", "sleep"):
            self.program(self.fakes / "bin" / name, STAND_IN)
        self.program(self.python, STAND_IN)
        self.answers("nvidia-smi", "0 580.65.06, 9.0")
        self.environment = {"PATH": f"{self.fakes / 'bin'}:{os.environ['PATH']}", "FAKES": str(self.fakes)}

    @property
    def python(self) -> Path:
        return self.folder / ".venv" / "bin" / "python"

    def program(self, path: Path, text: str) -> None:
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
        path.chmod(0o755)

    def answers(self, name: str, *lines: object) -> None:
        (self.fakes / name).write_text("".join(f"{line}\n" for line in lines))

    def start(self, command: str, **environment: object) -> subprocess.Popen:
        variables = self.environment | {name: str(value) for name, value in environment.items()}
        # The tests may run where these are ignored, as after nohup, and bash cannot trap what it found ignored.
        heard = ["env", "--default-signal=INT,HUP,TERM"]
        return subprocess.Popen(
            [*heard, "bash", *shlex.split(command)],
            cwd=self.folder,
            env=variables,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )

    def run(self, command: str, **environment: object) -> subprocess.CompletedProcess:
        process = self.start(command, **environment)
        output, errors = process.communicate(timeout=60)
        return subprocess.CompletedProcess(command, process.returncode, output, errors)

    def calls(self, of: str = "") -> list[str]:
        path = self.fakes / "calls"
        return [call for call in (path.read_text().splitlines() if path.exists() else []) if call.startswith(of)]

    def wait(self) -> None:
        """For a STOPPABLE to be there."""
        deadline = time.monotonic() + 10
        while "ready" not in self.calls():
            assert time.monotonic() < deadline, "the program did not start"
            time.sleep(0.01)


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project(tmp_path)


def test_gpu_sets_up_what_is_missing_and_then_trains(project):
    printed = project.run(f"launch/gpu.sh --dry-run {TRAIN}").stdout.splitlines()
    assert [shlex.split(line) for line in printed] == [
        ["make", ".venv/ready"],
        [".venv/bin/python", "-m", "pip", "install", "--quiet", "jax[cuda13]==1.2.3"],
        ["touch", ".venv/cuda13-1.2.3"],
        [".venv/bin/python", "train.py", TRAIN],
    ]
    assert project.calls() == ["nvidia-smi --query-gpu=driver_version,compute_cap --format=csv,noheader"]
    project.answers("nvidia-smi", "0 580.65.06, 9.0", "0 580.65.06, 9.0")
    for _ in range(2):
        assert project.run(f"launch/gpu.sh {TRAIN}").returncode == 0
    assert project.calls("make") == ["make .venv/ready"]
    assert project.calls("python -m pip") == ["python -m pip install --quiet jax[cuda13]==1.2.3"]
    assert project.calls("python train.py") == [f"python train.py {TRAIN}"] * 2


@pytest.mark.parametrize(
    ("answer", "chosen"),
    [
        ("0 580.65.06, 7.5", "jax[cuda13]"),
        ("0 580.65.06, 7.0", "jax[cuda12]"),
        ("0 535.104.05, 9.0", "jax[cuda12]"),
        ("0 470.57.02, 8.0", "driver 470 is too old for JAX"),
        ("9 NVIDIA-SMI has failed", "nvidia-smi finds no GPU: NVIDIA-SMI has failed"),
    ],
)
def test_gpu_takes_the_jax_that_fits_driver_and_gpu(project, answer, chosen):
    project.answers("nvidia-smi", answer)
    done = project.run(f"launch/gpu.sh --dry-run {TRAIN}")
    assert chosen in (done.stdout + done.stderr).replace("\\", "")
    assert done.returncode == (0 if chosen.startswith("jax") else 2)


RESTARTS = pytest.mark.parametrize(
    ("statuses", "status", "started"),
    [([0], 0, 1), ([2], 2, 1), ([1, 134, 0], 0, 3), ([1, 2], 2, 2), ([7, 7, 7, 7], 7, 3)],
)


@RESTARTS
def test_gpu_restarts_after_a_crash_alone_and_not_for_ever(project, statuses, status, started):
    (project.folder / ".venv" / "cuda13-1.2.3").touch()
    project.answers("python", *statuses)
    done = project.run(f"launch/gpu.sh {TRAIN}", RESTARTS=2)
    assert done.returncode == status
    assert project.calls("python") == [f"python train.py {TRAIN}"] * started
    assert done.stderr.count("resuming from the newest checkpoint") == started - 1


@pytest.mark.parametrize(
    ("sent", "to_group", "stopped", "got"),
    [
        (signal.SIGTERM, False, 0, "TERM"),
        (signal.SIGTERM, False, 143, "TERM"),  # before there was anything to save: not a crash either
        (signal.SIGHUP, False, 0, "TERM"),
        (signal.SIGINT, True, 0, "INT"),  # Ctrl-C: a terminal sends it to the whole group
    ],
)
def test_gpu_passes_a_signal_on_once_and_waits_for_the_save(project, sent, to_group, stopped, got):
    (project.folder / ".venv" / "cuda13-1.2.3").touch()
    project.program(project.python, STOPPABLE)
    (project.fakes / "bin" / "sleep").unlink()
    process = project.start(f"launch/gpu.sh {TRAIN}", STOPPED=stopped)
    project.wait()
    (os.killpg if to_group else os.kill)(process.pid, sent)
    process.communicate(timeout=60)
    assert process.returncode == stopped
    assert (project.fakes / "signals").read_text().split() == [got]
    assert project.calls().count("ready") == 1


JOB = dict(SLURM_JOB_ID=42, SLURM_JOB_NUM_NODES=2, SLURM_GPUS_ON_NODE=4, SLURM_CPUS_PER_TASK=16)
SRUN = "srun --ntasks=2 --ntasks-per-node=1 --kill-on-bad-exit=0 .venv/bin/python train.py"


def test_slurm_gives_a_task_all_gpus_of_its_node(project):
    printed = project.run(f"launch/slurm.sh --dry-run {TRAIN}", **JOB).stdout.splitlines()
    assert printed == [
        f"JAX_LOCAL_DEVICE_IDS=0,1,2,3 {SRUN} {TRAIN} --stopped_status=75",
        "scontrol requeue 42  # if that ends with status 75",
    ]
    assert project.calls() == []
    assert project.run(f"launch/slurm.sh {TRAIN}", **JOB).returncode == 0
    assert project.calls() == [f"{SRUN} {TRAIN} --stopped_status=75"]
    assert (project.fakes / "environment").read_text().split() == ["0,1,2,3", "16"]


def test_slurm_outside_of_a_job_says_that_the_job_gives_the_number_of_nodes(project):
    assert project.run(f"launch/slurm.sh --dry-run {TRAIN}").stdout.splitlines() == [
        f"{SRUN.replace('--ntasks=2', '--ntasks=NODES')} {TRAIN} --stopped_status=75",
        "scontrol requeue JOB  # if that ends with status 75",
    ]


@pytest.mark.parametrize(
    ("image", "inside", "python"),
    [
        (
            "attend.sif",
            [],
            [
                "apptainer",
                "exec",
                "--nv",
                "--bind",
                "{here}:{here},/data:/data",
                "--pwd",
                "{here}",
                "attend.sif",
                "python",
            ],
        ),
        (
            "registry#attend:gpu",
            [
                "--container-image=registry#attend:gpu",
                "--container-mounts={here}:{here},/data:/data",
                "--container-workdir={here}",
            ],
            ["python"],
        ),
    ],
)
def test_slurm_runs_in_a_container_without_a_venv(project, image, inside, python):
    project.python.unlink()
    changes = {"CONTAINER": image, "MOUNTS": "/data:/data"}
    printed = project.run(f"launch/slurm.sh --dry-run {TRAIN}", **JOB, **changes).stdout.splitlines()[0]
    step = [word.format(here=project.folder) for word in ["--kill-on-bad-exit=0", *inside, *python, "train.py"]]
    words = shlex.split(printed)
    assert words[words.index("--kill-on-bad-exit=0") :][: len(step)] == step
    assert project.run(f"launch/slurm.sh {TRAIN}", **JOB, **changes).returncode == 0
    assert len(project.calls("srun")) == 1


def test_gpu_shows_its_commands_on_a_machine_without_one(project, tmp_path):
    (project.fakes / "bin" / "nvidia-smi").unlink()
    done = project.run(f"launch/gpu.sh --dry-run {TRAIN}", PATH=f"{project.fakes / 'bin'}:/usr/bin:/bin")
    assert done.returncode == 0, done.stderr
    assert "no nvidia-smi here" in done.stderr
    assert done.stdout.splitlines()[-1] == f".venv/bin/python train.py {TRAIN}"
    refused(
        project.run(f"launch/gpu.sh {TRAIN}", PATH=f"{project.fakes / 'bin'}:/usr/bin:/bin"),
        "there is no nvidia-smi here",
    )


def test_slurm_signals_the_steps_and_lets_jobs_be_queued_again():
    options = re.findall(r"^#SBATCH (\S+)$", (LAUNCH / "slurm.sh").read_text(), re.M)
    assert {"--signal=TERM@120", "--requeue", "--ntasks-per-node=1"} <= set(options)
    head = (LAUNCH / "slurm.sh").read_text().split("set -euo pipefail")[0]
    assert all(
        line.startswith("#") for line in head.strip().splitlines()
    )  # sbatch reads options up to the first command


@RESTARTS
def test_slurm_restarts_after_a_crash_alone_and_not_for_ever(project, statuses, status, started):
    project.answers("srun", *statuses)
    assert project.run(f"launch/slurm.sh {TRAIN}", RESTARTS=2, **JOB).returncode == status
    assert len(project.calls("srun")) == started
    assert project.calls("scontrol") == []


def test_slurm_queues_a_saved_job_again(project):
    project.answers("srun", 1, 75)
    assert project.run(f"launch/slurm.sh {TRAIN}", **JOB).returncode == 0
    assert project.calls("scontrol") == ["scontrol requeue 42"]
    project.answers("scontrol", 1)
    project.answers("srun", 75)
    assert project.run(f"launch/slurm.sh {TRAIN}", **JOB).returncode == 1


def test_slurm_queues_again_when_a_task_gets_sigterm(project):
    project.program(project.fakes / "bin" / "srun", STOPPABLE.replace("echo ready", "echo $$ >pid; echo ready"))
    (project.fakes / "bin" / "sleep").unlink()
    process = project.start(f"launch/slurm.sh {TRAIN}", STOPPED=75, **JOB)
    project.wait()
    os.kill(int((project.folder / "pid").read_text()), signal.SIGTERM)
    process.communicate(timeout=60)
    assert process.returncode == 0
    assert project.calls("scontrol") == ["scontrol requeue 42"]


def test_kubernetes_fills_in_the_jobset(project):
    arguments = [TRAIN, "--workdir=/runs/x", r'--config.data.name=a & "b" \n $(HOST) ${NAME}']
    options = f"{KUBERNETES} --hosts=3 --name=vit --select=zone=a,kind=b --dry-run"
    command = f"launch/kubernetes.sh {options} -- {shlex.join(arguments)}"
    printed = project.run(command, RESTARTS=5).stdout
    assert project.calls() == []
    assert "${" not in printed.replace("${NAME}", "")
    jobset = yaml.safe_load(printed)
    assert (jobset["apiVersion"], jobset["kind"], jobset["metadata"]["name"]) == (
        "jobset.x-k8s.io/v1alpha2",
        "JobSet",
        "vit",
    )
    assert jobset["spec"]["failurePolicy"]["maxRestarts"] == 5
    (hosts,) = jobset["spec"]["replicatedJobs"]
    job = hosts["template"]["spec"]
    assert (job["parallelism"], job["completions"], job["completionMode"], job["backoffLimit"]) == (3, 3, "Indexed", 0)
    (rule,) = job["podFailurePolicy"]["rules"]
    pod = job["template"]["spec"]
    (container,) = pod["containers"]
    assert rule["action"] == "FailJob"
    assert rule["onExitCodes"] == {"containerName": container["name"], "operator": "In", "values": [2]}
    assert {"action": "FailJobSet", "onJobFailureReasons": ["PodFailurePolicy"]}.items() <= jobset["spec"][
        "failurePolicy"
    ]["rules"][0].items()
    assert pod["nodeSelector"] == {"zone": "a", "kind": "b"}
    assert pod["terminationGracePeriodSeconds"] >= 60
    assert container["command"] == ["python", "train.py"]  # a shell would not pass SIGTERM on
    assert container["resources"]["limits"] == {"nvidia.com/gpu": 8}
    assert [argument.replace("$$(", "$(") for argument in container["args"][:3]] == arguments
    assert container["args"][3:] == [
        f"--coordinator=vit-{hosts['name']}-0-0.vit:1234",
        "--hosts=3",
        "--host=$(HOST)",
        "--stopped_status=75",
    ]
    assert "HOST" in {variable["name"] for variable in container["env"]}

    assert project.run(command.replace("--dry-run ", ""), RESTARTS=5).returncode == 0
    assert project.calls() == ["kubectl apply --filename=-"]
    assert (project.fakes / "applied").read_text() == printed


def test_tpu_prints_every_command_with_dry_run(project):
    done = project.run(
        f"launch/tpu.sh {TPU} --name=t --spot --before='mount it' --dry-run -- {TRAIN} --workdir=/runs/x"
    )
    assert done.returncode == 0, done.stderr
    pack, create, copy, set_up, train = map(shlex.split, done.stdout.splitlines())
    assert pack[:3] == ["git", "ls-files", "-z"]
    tpus = ["gcloud", "compute", "tpus"]
    kind = ["--node-id=t", "--accelerator-type=v5litepod-16", "--runtime-version=v2", "--spot"]
    assert create == [*tpus, "queued-resources", "create", "t", *kind, "--zone=z"]
    assert copy == [*tpus, "tpu-vm", "scp", pack[6], "t:", "--worker=all", "--zone=z"]
    assert set_up[:6] == train[:6] == [*tpus, "tpu-vm", "ssh", "t"]
    assert '"jax[tpu]==1.2.3" && { mount it; }' in set_up[7]
    assert train[7].endswith(f"train.py {TRAIN} --workdir=/runs/x --stopped_status=75")
    assert project.calls() == []


@pytest.mark.parametrize(("kind", "scheme", "extra"), [("v5litepod-8", "gs", "gcs"), ("v4-8", "s3", "s3")])
def test_tpu_of_one_host_with_a_bucket_installs_what_reads_it(project, kind, scheme, extra):
    done = project.run(f"launch/tpu.sh {TPU} --type={kind} --dry-run -- {TRAIN} --workdir={scheme}://b/x")
    assert done.returncode == 0, done.stderr
    set_up, train = map(shlex.split, done.stdout.splitlines()[-2:])
    assert f'install --quiet "jax[tpu]==1.2.3" -e ".[{extra}]" && ' in set_up[7]
    assert f" --workdir={scheme}://b/x " in train[7]


@pytest.mark.parametrize(
    ("states", "ssh", "status", "made"),
    [
        (["ERROR: NOT_FOUND: no such thing", "WAITING_FOR_RESOURCES", "ACTIVE"], [0, 0], 0, ["create"]),
        (["ACTIVE"], [0, 2], 2, []),
        (["ACTIVE", "ACTIVE"], [0, 75, 0, 0], 0, []),  # saved, and the TPU is there
        (
            ["ACTIVE", "SUSPENDING", "SUSPENDING", "SUSPENDED", "NOT_FOUND", "ACTIVE"],
            [0, 255, 0, 0],
            0,
            ["delete", "create"],
        ),
        (["ACTIVE"] * 4, [0, 1, 0, 1], 1, []),  # a crash and one restart
        (["FAILED"], [], 1, []),
        (["ERROR: PERMISSION_DENIED"], [], 1, []),
    ],
)
def test_tpu_is_requested_anew_when_lost_and_restarts_are_bounded(project, states, ssh, status, made):
    subprocess.run("git init --quiet && git add train.py", shell=True, cwd=project.folder, check=True)
    project.answers("describe", *(f"0 {state}" for state in states))
    project.answers("ssh", *ssh)
    done = project.run(f"launch/tpu.sh {TPU} -- {TRAIN} --workdir=/runs/x", RESTARTS=1)
    assert done.returncode == status, done.stderr
    assert [call.split()[4] for call in project.calls("gcloud compute tpus queued") if "describe" not in call] == made
    assert len(project.calls("gcloud compute tpus tpu-vm ssh")) == len(ssh)
    assert (project.fakes / "ssh").read_text() == ""
    archive = project.folder / ".cache" / "attend.tar.gz"
    assert subprocess.check_output(["tar", "-tzf", archive], text=True) == "train.py\n"


@pytest.mark.parametrize(
    ("command", "message"),
    [
        (f"launch/gpu.sh {TRAIN}", "RESTARTS=many should be a number."),
        (f"launch/slurm.sh {TRAIN}", "RESTARTS=many should be a number."),
        (f"launch/kubernetes.sh {KUBERNETES} -- {TRAIN}", "RESTARTS=many should be a number."),
        (f"launch/tpu.sh {TPU} -- {TRAIN} --workdir=/x", "RESTARTS=many should be a number."),
    ],
)
def test_restarts_that_are_no_number_are_refused(project, command, message):
    refused(project.run(command, RESTARTS="many"), message)


@pytest.mark.parametrize(
    ("command", "message"),
    [
        (f"launch/slurm.sh {TRAIN}", "submit it with sbatch launch/slurm.sh"),
        (f"launch/kubernetes.sh {KUBERNETES} {TRAIN}", "those of train.py come after --."),
        (f"launch/kubernetes.sh {KUBERNETES}", "the flags of train.py are missing"),
        (f"launch/kubernetes.sh {KUBERNETES} -- {TRAIN} --workdir=runs/x", "give --workdir=/runs/NAME"),
        (f"launch/kubernetes.sh {KUBERNETES} -- {TRAIN} --workdir=gs://b/x", "in a bucket is for one host, and this"),
        (f"launch/kubernetes.sh {KUBERNETES} --hosts=two -- {TRAIN}", "--hosts=two should be a number."),
        (f"launch/kubernetes.sh {KUBERNETES} --name=ViT -- {TRAIN}", "--name=ViT should be small letters"),
        (f"launch/kubernetes.sh {KUBERNETES} --accelerators=8 -- {TRAIN}", "such as nvidia.com/gpu=8"),
        (f"launch/kubernetes.sh {KUBERNETES} --select=gpu -- {TRAIN}", "--select=gpu should be KEY=VALUE"),
        (f"launch/kubernetes.sh --claim=c --accelerators=g/g=1 -- {TRAIN}", "--image= should be the name of an image."),
        (f"launch/tpu.sh {TPU} {TRAIN}", "those of train.py come after --."),
        (f"launch/tpu.sh {TPU} --", "the flags of train.py are missing"),
        (f"launch/tpu.sh --zone=z --type=t -- {TRAIN}", "--zone, --type and --version are needed"),
        (f"launch/tpu.sh {TPU} -- {TRAIN} --workdir=runs/x", "give --workdir=/... on a file system"),
        (f"launch/tpu.sh {TPU} -- {TRAIN} --workdir=gs://b/x", "--type=v5litepod-16 has several hosts"),
    ],
)
def test_a_mistake_is_one_line_and_exit_status_2(project, command, message):
    refused(project.run(command), message)
    assert project.calls() == []


def refused(done: subprocess.CompletedProcess, message: str) -> None:
    assert done.returncode == 2
    assert message in done.stderr
    assert done.stderr.startswith("error: ")
    assert done.stderr.count("\n") == 1


def test_a_job_is_submitted_from_the_folder_of_train_py_with_its_environment(project):
    project.python.unlink()
    refused(project.run(f"launch/slurm.sh {TRAIN}", **JOB), "there is no .venv here")
    (project.folder / "train.py").unlink()
    refused(project.run(f"launch/slurm.sh {TRAIN}", **JOB), "there is no train.py in")


@pytest.mark.parametrize("name", SCRIPTS)
def test_scripts_are_short_executable_and_on_the_page(name):
    path = LAUNCH / name
    assert os.access(path, os.X_OK)
    assert len(path.read_text().splitlines()) < 90
    assert f"launch/{name}" in PAGE


EXAMPLES = [
    line
    for block in re.findall(r"```\n(.*?)```", PAGE, re.S)
    for line in block.splitlines()
    if (found := re.search(r"launch/\S+\.sh", line)) and (LAUNCH.parent / found[0]).exists()
]


@pytest.mark.parametrize("example", EXAMPLES)
def test_the_commands_on_the_page_are_right(project, example):
    script = re.search(r"launch/\S+", example)[0]
    command = example[example.index(script) :].replace(script, f"{script} --dry-run", 1)
    done = project.run(command.replace("=IMAGE", "=image"))
    assert done.returncode == 0, done.stderr
    train = re.search(r"--config=(\S+?\.py)", example)[1]
    assert train in done.stdout
    assert (LAUNCH.parent / train).exists()


def test_the_page_has_an_example_of_every_script_but_the_table_s():
    assert {re.search(r"launch/(\S+)", line)[1] for line in EXAMPLES} == set(SCRIPTS) - {"gpu.sh"}
