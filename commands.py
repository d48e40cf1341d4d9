"""How every command starts and ends: flags, help, one line for an error, the exit status."""

import ctypes
import errno
import os
import sys
import traceback
from collections.abc import Callable
from logging import getLogger
from pathlib import Path

ROOT = Path(__file__).parent
# Compiled programs are kept between runs, so that the second start is quick; and TensorFlow's banners are not shown.
os.environ.setdefault(
    "JAX_COMPILATION_CACHE_DIR", str(Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache"), "attend", "xla"))
)
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")

from absl import flags  # noqa: E402
from ml_collections import ConfigDict, config_flags  # noqa: E402

from errors import DiskFull, UserError, nearest  # noqa: E402

FLAGS = flags.FLAGS
OWN_FLAGS = (
    *(
        "config",
        "workdir",
        "stopped_status",
        "step",
        "average",
        "soup",
        "split",
        "top",
        "file",
        "alignment",
        "images",
        "sentence",
        "gold",
        "source",
        "target",
        "with",
        "out",
        "topology",
        "as",
        "classes",
        "heads",
        "json",
        "study",
        "dry_run",
        "collect",
        "launch",
        "launch_options",
    ),
    *("coordinator", "hosts", "host", "host_timeout"),
)
M_TRIM_THRESHOLD, M_MMAP_MAX, M_ARENA_MAX = -1, -4, -8  # of glibc's malloc.h


def train_flags() -> None:
    """--config=FILE[:VARIANT] with --config.key=value, --workdir, and --stopped_status for launchers."""
    config_flags.DEFINE_config_file("config", None, "configs/FILE.py[:VARIANT]; single keys by --config.KEY=VALUE")
    flags.DEFINE_string("workdir", None, "Folder of the run (default: runs/ and the config's name)")
    flags.DEFINE_integer("stopped_status", 0, "Exit status of a run that a signal stopped before its end, once saved")


def host_flags() -> None:
    """Of a command that runs on several hosts: who they are, where nothing else says it."""
    flags.DEFINE_string("coordinator", "", "HOST:PORT of host 0, of several that nothing else has brought together")
    flags.DEFINE_integer("hosts", 0, "How many hosts there are", lower_bound=0)
    flags.DEFINE_integer("host", -1, "Which of them this is: 0 ... hosts - 1")
    flags.DEFINE_float(
        "host_timeout",
        100.0,
        "Seconds that hosts wait for one that falls silent; at the start, three times as long",
        lower_bound=1.0,
    )


def workdir_flags() -> None:
    """--workdir of a trained run, --step, and --config.key=value upon the config found there."""
    flags.DEFINE_string("workdir", None, "Folder of the run")
    flags.DEFINE_string("step", "last", "Which checkpoint: last, best or a step")
    flags.DEFINE_integer("average", 1, "The mean of the weights of so many checkpoints, up to --step", lower_bound=1)
    flags.DEFINE_list("soup", [], "WORKDIR,...: other runs of the same model, of whose weights the mean is taken too")


def run(main: Callable[[list[str]], int | None], description: str, config: str = "") -> None:
    """Parses the command line, calls main with what is no flag, and exits with the status that it returns.

    A UserError becomes one line and status 2. Where this is one of several hosts, its end is told to all.

    Args:
      config: the default of --config, for a command that has train_flags.
    """
    for logger in ("absl", "asyncio"):  # Orbax's threads log the traceback of each error that it raises as well
        getLogger(logger).setLevel("CRITICAL")
    keep_freed_memory()
    if {"--help", "-h", "-help", "--helpfull"} & set(sys.argv[1:]):
        print(
            f"{description}\n\nFlags:\n{_flag_help()}\n\n{'Studies' if 'study' in FLAGS else 'Configs'}:\n{_config_help()}"
        )
        return
    fail: Callable[[int, str], None] = lambda status, message: None  # noqa: E731
    try:
        if config and not any(argument.startswith("--config=") for argument in sys.argv):
            sys.argv.insert(1, f"--config={config}")
        arguments = _parse(sys.argv)
        if "coordinator" in FLAGS:
            from training import hosts

            fail = hosts.fail
            hosts.join(FLAGS.coordinator, FLAGS.hosts, FLAGS.host, FLAGS.host_timeout)
        status = main(arguments) or 0
        if "coordinator" in FLAGS:
            hosts.part()
    except KeyboardInterrupt:
        status = 130
        fail(status, "Ctrl-C")
    except BrokenPipeError:  # who read the output, such as head, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        status = 141
    except Exception as error:
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
            error = DiskFull("no space left on the disk. Free some and run the same command again to go on.")
        status = 2 if isinstance(error, UserError) else 1
        if status == 2:
            print(f"error: {error}", file=sys.stderr, flush=True)
        else:
            traceback.print_exc()
        fail(status, str(error) if status == 2 else f"{type(error).__name__}: {' '.join(str(error).split())[:300]}")
        if isinstance(error, DiskFull):
            os._exit(status)  # sys.exit would wait for the libraries' threads, which go on trying to write
    sys.exit(status)


def config_name() -> str:
    """configs/vit_imagenet.py:B/16"""
    return config_flags.get_config_filename(FLAGS["config"])


def workdir() -> Path:
    """--workdir, or runs/vit_imagenet-B_16 for --config=configs/vit_imagenet.py:B/16."""
    if "://" in (FLAGS.workdir or ""):
        raise UserError(
            f"--workdir={FLAGS.workdir} is no folder: mount the bucket or share and give the folder where it is."
        )
    if FLAGS.workdir:
        return Path(FLAGS.workdir)
    path, _, variant = config_name().partition(":")
    name = Path(path).stem + (f"-{variant.replace('/', '_')}" if variant else "")
    return Path("runs", name)


def run_of_workdir() -> tuple[ConfigDict, Path]:
    """The config of the run in --workdir, with the command line's changes, and that folder."""
    return FLAGS.config, workdir()


def keep_freed_memory() -> None:
    """On a CPU, glibc gives a step's large buffers back to the kernel, which clears them anew at the next step: up to
    1.5 times the time of a step. These settings of mallopt keep them, in the one arena that can grow to any size."""
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt:
        for parameter, value in ((M_ARENA_MAX, 1), (M_MMAP_MAX, 0), (M_TRIM_THRESHOLD, 2**31 - 1)):
            mallopt(parameter, value)


def _parse(argv: list[str]) -> list[str]:
    changes: list[str] = []
    if "study" in FLAGS:  # --config.KEY=VALUE is for the runs, each of which has a config of its own
        _exists("study", argv)
        changes = [argument for argument in argv if argument.startswith("--config.")]
        argv = [argument for argument in argv if argument not in changes]
    elif "config" in FLAGS:
        _exists("config", argv)
    else:  # a command that works on a trained run: its config is in the workdir
        from experiment.restore import saved_config

        given = [a.split("=", 1)[1] for a in argv if a.startswith(("--workdir=", "-workdir="))]
        if not given:
            raise UserError("--workdir=FOLDER of a training run is needed, such as --workdir=runs/vit_digits.")
        config_flags.DEFINE_config_dict(
            "config", saved_config(Path(given[-1])), "The run's; change keys by --config.KEY=VALUE"
        )
    try:
        return FLAGS(argv)[1:] + changes
    except flags.Error as error:
        if "Traceback" in (text := str(error)):  # what a config file has raised
            raise UserError(f"{_config_argument(argv)}: {text.strip().splitlines()[-1].partition(': ')[2]}") from None
        raise UserError(f"{_one_line(error)} See --help.") from None
    except (AttributeError, KeyError, ValueError, TypeError, OSError) as error:
        raise UserError(f"config: {_one_line(error)}") from None


def _config_argument(argv: list[str]) -> str:
    """--config=... or --study=... as it was typed."""
    return next((a for a in argv if a.startswith(("--config=", "--study="))), "--config")


def _exists(flag: str, argv: list[str]) -> None:
    """That the file is there which --config or --study names."""
    for argument in argv:
        name = argument.partition("=")[2].partition(":")[0]
        if argument.startswith(f"--{flag}=") and not Path(name).is_file():
            known = [str(path.relative_to(ROOT)) for path in _files(flag)]
            raise UserError(f"there is no {flag} {name}: {nearest(name, known)}")


def _files(flag: str) -> list[Path]:
    """The configs or the studies that there are."""
    folder = ROOT / ("configs/studies" if flag == "study" else "configs")
    return sorted(path for path in folder.glob("*.py") if path.stem not in ("base", "debug", "__init__"))


def _one_line(error: BaseException) -> str:
    """What config_flags says, without its quotation marks and line breaks."""
    text = str(error.args[0]) if error.args else str(error)
    if text[:1] == text[-1:] and text[:1] in "'\"":  # the repr of a text: config_flags raises one within another
        text = text[1:-1].replace("\\'", "'").replace("\\n", " ")
    text = " ".join(text.split())
    return text if text.endswith((".", "?")) else f"{text}."


def _flag_help() -> str:
    own = [FLAGS[name] for name in OWN_FLAGS if name in FLAGS]
    return "\n".join(f"  --{flag.name:10} {flag.help}" for flag in own)


def _config_help() -> str:
    rows = []
    for path in _files("study" if "study" in FLAGS else "config"):
        title = path.read_text().split('"""')[1].splitlines()[0]
        rows.append(f"  {path.relative_to(ROOT)!s:36} {title}")
    return "\n".join([*rows, "  Expected time and figure of each: configs/README.md"])
