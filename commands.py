"""How every command starts and ends: environment, flags, help, one line for an error, the exit status."""

import ctypes
import errno
import os
import re
import sys
import traceback
from collections.abc import Callable
from logging import getLogger
from pathlib import Path

from absl import flags
from ml_collections import ConfigDict, config_flags

from errors import DiskFull, UserError, nearest

ROOT = Path(__file__).parent
FLAGS = flags.FLAGS
M_TRIM_THRESHOLD, M_MMAP_MAX, M_ARENA_MAX = -1, -4, -8  # of glibc's malloc.h
NO_CONFIGS = ("base", "__init__")

_own: list[str] = []  # flags defined here, in order, for --help
_config_meaning = ""
_config_name = ""  # "configs/vit_imagenet.py:B/16"


def begin() -> None:
    """Sets the environment of a command, before jax and TensorFlow are imported."""
    open_streams()
    # Compiled programs are kept between runs, so that the second start is quick.
    cache = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache"), "attend", "xla")
    os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(cache))
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")  # TensorFlow's banners are not shown
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")
    keep_freed_memory()


def open_streams() -> None:
    """Opens standard streams that are closed (`<&-`) on nothing; else the next file to be opened takes their place."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, mode))  # noqa: SIM115  # it stays open


def keep_freed_memory() -> None:
    """On a CPU, glibc gives a step's large buffers back to the kernel, which clears them anew at the next step: up to
    1.5 times the time of a step. These settings of mallopt keep them, in the one arena that can grow to any size."""
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt:
        for parameter, value in ((M_ARENA_MAX, 1), (M_MMAP_MAX, 0), (M_TRIM_THRESHOLD, 2**31 - 1)):
            mallopt(parameter, value)


def flag(kind: str, name: str, default: object, meaning: str, **options: object) -> None:
    """Defines a flag of the command, which --help lists. kind: "string", "bool", "integer", "list", "enum" ..."""
    getattr(flags, f"DEFINE_{kind}")(name, default, *options.pop("values", ()), meaning, **options)  # type: ignore[misc]
    _own.append(name)


def config_flag(meaning: str) -> None:
    """--config=FILE[:VARIANT] with --config.KEY=VALUE; `run` defines them, once it has read the file."""
    global _config_meaning
    _config_meaning = meaning
    _own.append("config")


def train_flags() -> None:
    """--config=FILE[:VARIANT] with --config.KEY=VALUE, --workdir, and --stopped_status for launchers."""
    config_flag("configs/FILE.py[:VARIANT]; one key by --config.KEY=VALUE")
    flag("string", "workdir", None, "Folder of the run (default: runs/ and the config's name)")
    flag("integer", "stopped_status", 0, "Exit status of a run that a signal stopped before its end, once saved")


def study_flags() -> None:
    """--study=FILE[:VARIANT] with --study.KEY=VALUE."""
    config_flags.DEFINE_config_file("study", None, "configs/studies/FILE.py[:VARIANT]; --study.KEY=VALUE")
    _own.append("study")


def host_flags() -> None:
    """Flags of a command that runs on several hosts: which they are, where nothing else says it."""
    flag("string", "coordinator", "", "HOST:PORT of host 0, of several that nothing else has brought together")
    flag("integer", "hosts", 0, "How many hosts there are", lower_bound=0)
    flag("integer", "host", -1, "Which of them this is: 0 ... hosts - 1")
    flag(
        "float",
        "host_timeout",
        100.0,
        "Seconds that hosts wait for one that falls silent; at the start, three times as long",
        lower_bound=1.0,
    )


def workdir_flags() -> None:
    """--workdir of a trained run, --step, and --config.KEY=VALUE upon the config found there."""
    flag("string", "workdir", None, "Folder of the run")
    flag("string", "step", "last", "Which checkpoint: last, best or a step")
    flag("integer", "average", 1, "The mean of the weights of so many checkpoints, up to --step", lower_bound=1)
    flag("list", "soup", [], "WORKDIR,...: other runs of the same model; the mean of all their weights is taken")


def run(main: Callable[[list[str]], int | None], description: str, config: str = "") -> None:
    """Parses the command line, calls main with the other arguments, and exits with the status that it returns.

    A UserError becomes one line and status 2. Where this is one of several hosts, the others are told of its end.

    Args:
      config: the default of --config, for a command that has train_flags.
    """
    for logger in ("absl", "asyncio"):  # Orbax's threads log the traceback of each error that it raises as well
        getLogger(logger).setLevel("CRITICAL")
    fail: Callable[[int, str], None] = lambda status, message: None  # noqa: E731
    try:
        if {"--help", "-h", "-help", "--helpfull"} & set(sys.argv[1:]):
            print("\n\n".join(_help(description, config)), flush=True)
            return
        arguments = _parse(sys.argv, config)
        if "coordinator" in FLAGS:
            from training import hosts

            fail = hosts.fail
            hosts.join(FLAGS.coordinator, FLAGS.hosts, FLAGS.host, FLAGS.host_timeout)
        status = main(arguments) or 0
        sys.stdout.flush()  # what cannot be written is known here, and not when Python ends
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
            error = DiskFull("no space left on the disk. Free some and run the same command again to continue.")
        status = 2 if isinstance(error, UserError) else 1
        if status == 2:
            print(f"error: {error}", file=sys.stderr, flush=True)
        else:
            traceback.print_exc()
        fail(status, str(error) if status == 2 else f"{type(error).__name__}: {' '.join(str(error).split())[:300]}")
        if isinstance(error, DiskFull):
            os._exit(status)  # sys.exit would wait for the libraries' threads, which keep trying to write
    sys.exit(status)


def config_name() -> str:
    """The file and variant of --config: configs/vit_imagenet.py:B/16"""
    return _config_name


def workdir() -> Path:
    """--workdir, or runs/vit_imagenet-B_16 for --config=configs/vit_imagenet.py:B/16."""
    if "://" in (FLAGS.workdir or ""):
        raise UserError(
            f"--workdir={FLAGS.workdir} is not a folder: mount the bucket or share and give the folder where it is."
        )
    if FLAGS.workdir:
        return Path(FLAGS.workdir).expanduser()
    return Path("runs", name_of(_config_name))


def name_of(config: str) -> str:
    """vit_imagenet-B_16 of configs/vit_imagenet.py:B/16"""
    path, _, variant = config.partition(":")
    return Path(path).stem + (f"-{variant.replace('/', '_')}" if variant else "")


def run_of_workdir() -> tuple[ConfigDict, Path]:
    """The config of the run in --workdir, with the command line's changes, and that folder."""
    return FLAGS.config, workdir()


def _parse(argv: list[str], default_config: str) -> list[str]:
    """Parses the flags. Returns the other arguments; for a study also --config.KEY=VALUE, which is for its runs."""
    argv, changes = joined(argv), []
    if "study" in FLAGS:
        changes = [argument for argument in argv if argument.startswith("--config.")]
        argv = [argument for argument in argv if argument not in changes]
        _study_exists(argv)
    else:
        config, argv = _config(argv, default_config)
        _check_keys(config, argv)
        config_flags.DEFINE_config_dict("config", config, sys_argv=argv)
    try:
        return FLAGS(argv)[1:] + changes
    except flags.Error as error:
        if "Traceback" in (text := str(error)):  # what a study's file has raised
            raise UserError(f"{_value(argv, 'study')}: {text.strip().splitlines()[-1].partition(': ')[2]}") from None
        raise UserError(f"{_one_line(error)} See --help.") from None
    except (AttributeError, KeyError, ValueError, TypeError, OSError) as error:
        raise UserError(f"config: {_one_line(error)}") from None


def joined(argv: list[str]) -> list[str]:
    """The command line with `--config FILE` and `--config.KEY VALUE` as one argument each, as other flags may have
    it."""
    found, rest = argv[:1], iter(argv[1:])
    for argument in rest:
        if re.fullmatch(r"--?(config[\w.]*|workdir|study)", argument) and (value := next(rest, None)) is not None:
            found.append(f"{argument}={value}")
        else:
            found.append(re.sub(r"^-(?=(config|workdir|study)\b)", "--", argument))
    return found


def _config(argv: list[str], default: str) -> tuple[ConfigDict, list[str]]:
    """The whole config that the command line starts from, and the command line without what chose it."""
    from experiment import config as configs
    from experiment.restore import saved_config

    if "config" not in _own:  # a command that works on a trained run: its config is in the workdir
        if not (workdir := _value(argv, "workdir")):
            raise UserError("--workdir=FOLDER of a training run is needed, such as --workdir=runs/vit_digits.")
        return saved_config(Path(workdir).expanduser()), argv
    global _config_name
    _config_name = _value(argv, "config") or default
    chosen = {key: value for key in configs.CHOICES if (value := _value(argv, f"config.{key}"))}
    argv = [a for a in argv if not a.startswith("--config=")]
    return configs.load(_config_name, chosen), argv


def _check_keys(config: ConfigDict, argv: list[str]) -> None:
    """That every --config.KEY exists."""
    from experiment.config import check_key

    for argument in argv:
        if argument.startswith("--config."):
            check_key(config, argument.removeprefix("--config.").partition("=")[0])


def _value(argv: list[str], name: str) -> str:
    """The last value of a flag on the command line; "" if it is not there."""
    values = [a.partition("=")[2] for a in argv if a.startswith(f"--{name}=")]
    return values[-1] if values else ""


def _study_exists(argv: list[str]) -> None:
    name = _value(argv, "study").partition(":")[0]
    if name and not Path(name).is_file():
        raise UserError(f"there is no study {name}: {nearest(name, [str(p.relative_to(ROOT)) for p in _files(True)])}")


def _files(studies: bool) -> list[Path]:
    """The configs or the studies that there are."""
    folder = ROOT / ("configs/studies" if studies else "configs")
    return sorted(path for path in folder.glob("*.py") if path.stem not in NO_CONFIGS)


def _one_line(error: BaseException) -> str:
    """What absl or config_flags says, without its quotation marks and line breaks."""
    text = str(error.args[0]) if error.args else str(error)
    if text[:1] == text[-1:] and text[:1] in "'\"":  # the repr of a text: config_flags raises one within another
        text = text[1:-1].replace("\\'", "'").replace("\\n", " ")
    text = " ".join(text.split())
    return text if text.endswith((".", "?")) else f"{text}."


def _help(description: str, default_config: str) -> list[str]:
    """The parts of --help: description, flags, configs, and every key of the config that is asked for."""
    of_studies = "study" in FLAGS
    rows = [f"  --{name:10} {_config_meaning if name == 'config' else FLAGS[name].help}" for name in _own]
    files = []
    for path in _files(of_studies):
        title = path.read_text().split('"""')[1].splitlines()[0]
        files.append(f"  {path.relative_to(ROOT)!s:36} {title}")
    files.append("  Expected time and metric of each: configs/README.md")
    parts = [description, "\n".join(["Flags:", *rows]), "\n".join(["Studies:" if of_studies else "Configs:", *files])]
    if not of_studies and ("config" in _own or _value(joined(sys.argv), "workdir")):
        from experiment.config import describe

        argv = [argument for argument in joined(sys.argv) if argument not in ("--help", "-h", "-help", "--helpfull")]
        config, _ = _config(argv, default_config)
        title = _config_name or f"the run in {_value(argv, 'workdir')}"
        parts.append("\n".join([f"Keys of {title}, with their values:", *describe(config)]))
    return parts
