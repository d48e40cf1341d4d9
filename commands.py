"""How every command starts and ends: environment, flags, help, one line for an error, the exit status."""

import argparse
import ctypes
import functools
import gc
import os
import re
import sys
import traceback
from collections.abc import Callable, Iterable
from logging import getLogger
from pathlib import Path
from types import TracebackType

if sys.platform == "win32":  # which has no fcntl, and what is imported next asks for it
    print("error: this runs on Linux and macOS: on Windows, run it in WSL 2.", file=sys.stderr)
    sys.exit(2)

from absl import flags
from ml_collections import ConfigDict, config_flags

import storage
from errors import DiskFull, ServiceError, UserError, closest_keys, command, explained, nearest
from lookup import Json

FLAGS = flags.FLAGS
STOPPED = "stopped by Ctrl-C."
LONGEST_NAME = 255  # bytes, of a file or folder
NO_LENGTH = ("", "0", "0.0", "None")  # of a run: a key as it is set on a command line
M_TRIM_THRESHOLD, M_MMAP_MAX, M_ARENA_MAX = -1, -4, -8  # of glibc's malloc.h
NVIDIA = "/dev/nvidia0"
ACCELERATORS = (NVIDIA, "/dev/dxg", "/dev/accel0", "/dev/vfio/0")  # in this machine: GPUs, also under Windows, and TPUs
# What XLA compiles for GPUs in many forms to time them: its own matrix products, which cuBLAS has too, and fusions.
# Fusions over a whole vocabulary can take very long: GPT-2 small was not compiled after three minutes on an H200.
SLOW_TO_COMPILE = ("xla_gpu_enable_triton_gemm", "xla_gpu_experimental_enable_fusion_autotuner")

defined: list[str] = []  # flags defined here, in order, for --help
listings: dict[str, Callable[[], list[str]]] = {}  # what else --help lists, by title
_config_meaning = ""
_config_name = ""  # "configs/vit_imagenet.py:B/16"; of a study likewise


def begin() -> None:
    """Sets the environment of a command, before jax and TensorFlow are imported."""
    open_streams()
    sys.excepthook = _uncaught
    # Compiled programs are kept between runs, so that the second start is quick.
    cache = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache"), "attend", "xla")
    os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(cache))
    os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0.2")  # an evaluation compiles in less than 1
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")  # TensorFlow's banners are not shown
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")
    os.environ.setdefault("TF_USE_LEGACY_KERAS", "1")  # TFDS then imports no Keras, a second less
    if os.path.exists(NVIDIA):
        before = os.environ.get("XLA_FLAGS", "")
        more = [f"--{name}=false" for name in SLOW_TO_COMPILE if f"--{name}=" not in before]
        os.environ["XLA_FLAGS"] = " ".join([*more, before]).strip()
    gc.set_threshold(50_000, 10, 10)  # tracing makes many objects, and the libraries' millions are looked through anew
    if os.environ.get("JAX_PLATFORMS") == "cpu" or not any(map(os.path.exists, ACCELERATORS)):
        keep_freed_memory()


def _uncaught(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """Ctrl-C while libraries are imported has no traceback; `run` catches what comes later."""
    if issubclass(kind, KeyboardInterrupt):
        print(STOPPED, file=sys.stderr, flush=True)
    else:
        sys.__excepthook__(kind, error, trace)


def open_streams() -> None:
    """Opens standard streams that are closed (`<&-`) on nothing; else the next file to be opened takes their place."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, mode))  # noqa: SIM115  # it stays open


def keep_freed_memory() -> None:
    """On a CPU, glibc gives a step's large buffers back to the kernel, which clears them anew at the next step: up to
    1.5 times the time of a step. These settings of mallopt keep them, in the one arena that can grow to any size. With
    an accelerator there are no such buffers, and the compiler's many threads would wait for the one arena."""
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt:
        for parameter, value in ((M_ARENA_MAX, 1), (M_MMAP_MAX, 0), (M_TRIM_THRESHOLD, 2**31 - 1)):
            mallopt(parameter, value)


def flag(kind: str, name: str, default: object, meaning: str, **options: object) -> None:
    """Defines a flag of the command, which --help lists. kind: "string", "bool", "integer", "list", "enum" ..."""
    getattr(flags, f"DEFINE_{kind}")(name, default, *options.pop("values", ()), meaning, **options)  # type: ignore[misc]
    defined.append(name)


def config_flag(meaning: str) -> None:
    """--config=FILE[:VARIANT] with --config.KEY=VALUE; `run` defines them, once it has read the file."""
    global _config_meaning
    _config_meaning = meaning
    defined.append("config")


def listed(title: str, rows: Callable[[], list[str]]) -> None:
    """Has --help list what the command's arguments can be, such as the names of figures."""
    listings[title] = rows


def train_flags(runs: bool = True) -> None:
    """--config=FILE[:VARIANT] with --config.KEY=VALUE, --workdir, and --stopped_status for launchers.

    Args:
      runs: whether the command trains, and does not only look ahead.
    """
    config_flag("configs/FILE.py[:VARIANT]; one key by --config.KEY=VALUE")
    flag("string", "workdir", None, "Folder of the run, or gs://... or s3://... (default: runs/ and the config's name)")
    if runs:
        flag("integer", "stopped_status", 0, "Exit status of a run that a signal stopped before its end, once saved")


def study_flags() -> None:
    """--study=FILE[:VARIANT] with --study.KEY=VALUE; `run` defines them, once it has read the file."""
    global _config_meaning
    _config_meaning = "configs/studies/FILE.py[:VARIANT]; --study.KEY=VALUE"
    defined.append("study")


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
    """--workdir of a trained run, --step, and --config.KEY=VALUE, which change the config found there."""
    flag("string", "workdir", None, "Folder of the run")
    flag("string", "step", "last", "Which checkpoint: last, best or a step")
    flag("integer", "average", 1, "The mean of the weights of so many checkpoints, up to --step", lower_bound=1)
    flag("list", "soup", [], "WORKDIR,...: other runs of the same model; the mean of all their weights is taken")


def weights_flag() -> None:
    """--weights: float32, or int8 for quicker decoding."""
    meaning = "float32, or int8: decoding with rounded matrices and activations, which is quicker on a CPU"
    flag("enum", "weights", "float32", meaning, values=[["float32", "int8"]])


def run(main: Callable[[list[str]], int | None], description: str, config: str = "") -> None:
    """Parses the command line, calls main with the other arguments, and exits with the status that it returns.

    A UserError becomes one line and status 2, a ServiceError one line and status 1. Where this is one of several hosts,
    the others are told of its end.

    Args:
      config: the default of --config, for a command that has train_flags.
    """
    for logger in ("absl", "asyncio"):  # Orbax's threads log the traceback of each error that it raises as well
        getLogger(logger).setLevel("CRITICAL")
    sys.unraisablehook = _unraisable
    fail: Callable[[int, str], None] = lambda status, message: None  # noqa: E731
    try:
        if {"--help", "-h", "-help", "--helpfull"} & set(sys.argv[1:]):
            print("\n\n".join(_help(description, config)), flush=True)
            return
        arguments = parse(sys.argv, config)
        if "coordinator" in FLAGS:
            from training import hosts

            fail = hosts.fail
            hosts.join(FLAGS.coordinator, FLAGS.hosts, FLAGS.host, FLAGS.host_timeout)
        status = main(arguments) or 0
        sys.stdout.flush()  # what cannot be written is known here, and not when Python ends
        if "coordinator" in FLAGS:
            hosts.part()
    except KeyboardInterrupt:
        print(STOPPED, file=sys.stderr, flush=True)
        status = 130
        fail(status, "Ctrl-C")
    except BrokenPipeError:  # who read the output, such as head, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        status = 141
    except Exception as error:
        error = explained(error)
        status = 2 if isinstance(error, UserError) else 1
        if told := isinstance(error, (UserError, ServiceError)):
            _mistake(error)
        else:
            traceback.print_exc()
        fail(status, str(error) if told else f"{type(error).__name__}: {' '.join(str(error).split())[:300]}")
        if isinstance(error, DiskFull):
            os._exit(status)  # sys.exit would wait for the libraries' threads, which keep trying to write
    sys.exit(status)


def script(main: Callable[..., int | None], description: str, **arguments: Json) -> None:
    """Calls the main of a script in results/ with its arguments, and exits with the status that it returns.

    Args:
      main: takes each of `arguments` by name.
      description: for --help.
      **arguments: argparse's settings of each argument; one without `nargs` is an option, --NAME=VALUE.
    """
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, settings in arguments.items():
        parser.add_argument(name if "nargs" in settings else f"--{name}", **settings)
    try:
        sys.exit(main(**vars(parser.parse_args())))
    except UserError as error:
        sys.exit(_mistake(error))
    except KeyboardInterrupt:
        print(STOPPED, file=sys.stderr, flush=True)
        sys.exit(130)


def chosen(names: list[str], known: Iterable[str]) -> list[str]:
    """These names, or all known ones if there are none.

    Raises:
      UserError: a name that is not known.
    """
    for name in names:
        if name not in known:
            raise UserError(f"{name!r}: {nearest(name, known)}")
    return names or list(known)


def _unraisable(told: "sys.UnraisableHookArgs") -> None:  # a name that only type checkers know
    """Prints an error that a library's thread can raise to nobody, except those of the array writes whose save failed:
    the failed save is told of itself."""
    if str(told.exc_value) != "Event loop is closed":
        sys.__unraisablehook__(told)


def _mistake(error: BaseException) -> int:
    """Prints the line of an error. Returns the exit status of a UserError."""
    print(f"error: {error}", file=sys.stderr, flush=True)
    return 2


def flags_alone(arguments: list[str]) -> None:
    """That a command line has flags alone.

    Raises:
      UserError: something else is there.
    """
    if arguments:
        word, kind = arguments[0], "study" if "study" in defined else "config"
        flag = word if "=" in word else f"{kind}={word}"
        raise UserError(f"{word!r} is not a flag: did you mean --{flag}? See --help.")


def config_name() -> str:
    """The file and variant of --config or --study: configs/vit_imagenet.py:B/16"""
    return _config_name


def config_given() -> bool:
    """Whether the command line names the config, and it is not the default."""
    return any(argument.startswith("--config=") for argument in joined(sys.argv))


def workdir() -> Path:
    """--workdir, or runs/vit_imagenet-B_16 for --config=configs/vit_imagenet.py:B/16."""
    return path(FLAGS.workdir) if FLAGS.workdir else Path("runs", name_of(_config_name))


def path(text: str) -> Path:
    """A path as a person writes it: of a file, a folder, or in a bucket (gs://..., s3://...). "~" is expanded, since in
    --workdir=~/x a shell leaves it as it is."""
    found = storage.path(text)
    if any(len(os.fsencode(part)) > LONGEST_NAME for part in found.parts):
        raise UserError(f"{text[:60]}... is too long for the name of a file or folder.")
    return found


def name_of(config: str) -> str:
    """vit_imagenet-B_16 of configs/vit_imagenet.py:B/16"""
    path, _, variant = config.partition(":")
    return Path(path).stem + (f"-{variant.replace('/', '_')}" if variant else "")


def run_of_workdir() -> tuple[ConfigDict, Path]:
    """The config of the run in --workdir, with the command line's changes, and that folder."""
    return FLAGS.config, workdir()


def parse(argv: list[str], default_config: str) -> list[str]:
    """Parses the flags. Returns the other arguments; for a study also --config.KEY=VALUE, which is for its runs."""
    argv, changes, kind = joined(argv), [], "study" if "study" in defined else "config"
    names = [name for name in defined if name not in FLAGS or isinstance(FLAGS[name].default, list | None)]
    if empty := next((a for a in argv if a in [f"--{name}=" for name in ("config", "study", *names)]), None):
        raise UserError(f'{empty} names nothing: write what it is after the "=", or leave the flag out.')
    if kind == "study":
        changes = [argument for argument in argv if argument.startswith("--config.")]
        argv = [argument for argument in argv if argument not in changes]
    if "config" not in defined and kind == "config" and (file := _value(argv, "config")):
        raise UserError(
            f"--config={file}: this command takes the config of the run in --workdir; change a key of it by "
            "--config.KEY=VALUE."
        )
    if all(_value(argv, f"config.{length}") not in NO_LENGTH for length in ("steps", "epochs")):
        raise UserError("both --config.steps and --config.epochs are given: choose one.")
    config, argv = _study(argv) if kind == "study" else _config(argv, default_config)
    _check_keys(kind, config, argv)
    config_flags.DEFINE_config_dict(kind, config, sys_argv=argv)
    try:
        return FLAGS(argv)[1:] + changes
    except flags.UnrecognizedFlagError as error:
        raise UserError(f"{_key_of(error.flagname, kind, config) or _one_line(error)} See --help.") from None
    except flags.Error as error:
        raise UserError(f"{_plain(_one_line(error))} See --help.") from None
    except (AttributeError, KeyError, ValueError, TypeError, OSError, SyntaxError, RecursionError) as error:
        raise UserError(f"{kind}: {_one_line(error)}") from None


def joined(argv: list[str]) -> list[str]:
    """The command line with `--config FILE` and `--config.KEY VALUE` as one argument each, as other flags may have
    it."""
    found, rest = argv[:1], list(argv[1:])
    while rest:
        argument = re.sub(r"^-(?=(config|workdir|study)\b)", "--", rest.pop(0))
        if re.fullmatch(r"--((config|study)[\w.]*|workdir)", argument) and rest and not rest[0].startswith("--"):
            argument = f"{argument}={rest.pop(0)}"
        found.append(argument)
    return found


def _config(argv: list[str], default: str) -> tuple[ConfigDict, list[str]]:
    """The whole config that the command line starts from, and the command line without what chose it."""
    from experiment import config as configs
    from experiment.restore import saved_config

    if "config" not in defined:  # a command that works on a trained run: its config is in the workdir
        if not (workdir := _value(argv, "workdir")):
            raise UserError("--workdir=FOLDER of a training run is needed, such as --workdir=runs/vit_digits")
        return saved_config(path(workdir)), argv
    global _config_name
    _config_name = _value(argv, "config") or default
    chosen = {key: value for key in configs.CHOICES if (value := _value(argv, f"config.{key}"))}
    argv = [a for a in argv if not a.startswith("--config=")]
    return configs.load(_config_name, chosen), argv


def _study(argv: list[str]) -> tuple[ConfigDict, list[str]]:
    """The same of a study."""
    from experiment import config_file

    global _config_name
    if not (_config_name := _value(argv, "study")):
        raise UserError("--study=configs/studies/FILE.py[:VARIANT] says which study: configs/README.md lists them.")
    file, _, variant = _config_name.partition(":")
    study = config_file.read(f"--study={_config_name}", "configs/studies", file, variant)
    if "runs" not in study:
        train = command("train.py", f"--config={_config_name}")
        raise UserError(f"--study={_config_name} is the config of one run: {train}")
    return study, [a for a in argv if not a.startswith("--study=")]


def _check_keys(kind: str, config: ConfigDict, argv: list[str]) -> None:
    """That every --config.KEY or --study.KEY exists, and is one value."""
    from experiment.config import check_key

    for argument in argv:
        if not argument.startswith((f"--{kind}.", f"--no{kind}.")):
            continue
        key, _, value = argument.partition(".")[2].partition("=")
        check_key(config, key, kind)
        section = functools.reduce(ConfigDict.__getitem__, key.split("."), config)
        if isinstance(section, ConfigDict) and not value.startswith("{"):
            keys = f"set one of {', '.join(section)}."
            mend = f"did you mean --{kind}.{key}.name={value}?" if "name" in section else keys
            raise UserError(f"{kind}.{key} is a section with keys of its own: {mend}")


def _value(argv: list[str], name: str) -> str:
    """The last value of a flag on the command line; "" if it is not there."""
    values = [a.partition("=")[2] for a in argv if a.startswith(f"--{name}=")]
    return values[-1] if values else ""


def _key_of(flag: str, kind: str, config: ConfigDict) -> str:
    """An error line for an unknown flag that can stand for a key of the config; "" if it can for none."""
    from flax.traverse_util import flatten_dict

    called = " or ".join(f"--{kind}.{key}=..." for key in closest_keys(flag, flatten_dict(config.to_dict(), sep=".")))
    return f"--{flag} is not a flag: did you mean {called}?" if called else ""


def _plain(message: str) -> str:
    """An error line of absl, in plain English where it quotes Python on a text of another type."""
    message = re.sub(r"invalid literal for int\(\) with base 10: '.*'", "should be a whole number", message)
    message = re.sub(r"could not convert string to float: '.*'", "should be a number", message)
    return re.sub(r"\('Non-boolean argument to boolean flag', .*\)", "should be True or False", message)


def _one_line(error: BaseException) -> str:
    """What absl or config_flags says, without its quotation marks and line breaks."""
    text = str(error.args[0]) if error.args else str(error)
    if text[:1] == text[-1:] and text[:1] in "'\"":  # the repr of a text: config_flags raises one within another
        text = text[1:-1].replace("\\'", "'").replace("\\n", " ")
    text = " ".join(text.split())
    return text if text.endswith((".", "?")) else f"{text}."


def _help(description: str, default_config: str) -> list[str]:
    """The parts of --help: description, flags, configs with their variants, and every key of the config that is asked
    for."""
    from experiment import config_file
    from experiment.config import describe

    kind, folder = ("study", "configs/studies") if "study" in defined else ("config", "configs")
    argv = [argument for argument in joined(sys.argv) if argument not in ("--help", "-h", "-help", "--helpfull")]
    width = max(map(len, defined))
    meanings = [_config_meaning if name == kind else (FLAGS[name].help or "").partition(";\n")[0] for name in defined]
    rows = [f"  --{name:{width}} {meaning}" for name, meaning in zip(defined, meanings, strict=True)]
    parts = [description, "\n".join(["Flags:", *rows])]
    parts += ["\n".join([f"{title}:", *(f"  {row}" for row in rows())]) for title, rows in listings.items()]
    files = []
    for file in config_file.files(folder) if kind in defined else ():
        variants = "+".join(name.upper() for name in config_file.variants(file, folder, file))
        title = (config_file.ROOT / file).read_text().split('"""')[1].splitlines()[0]
        files.append(f"  {file + (variants and f'[:{variants}]'):48} {title}")
    if files:
        parts.append("\n".join([f"{folder}:", *files, "  Expected time and metric of each: configs/README.md"]))
    elif not _value(argv, "workdir"):
        parts.append("--workdir=RUN --help lists the keys of that run's config.")
    file = (_value(argv, kind) or default_config).partition(":")[0]
    if known := config_file.variants(f"--{kind}={file}", folder, file) if file else {}:
        every = {name: f"{v[0]} ... {v[-1]}" if isinstance(v, range) else ", ".join(v) for name, v in known.items()}
        lines = [f"  {name:10} {values}" for name, values in every.items()]
        parts.append("\n".join([f"Variants of {file}, joined by +:", *lines]))
    if kind == "config" and ("config" in defined or _value(argv, "workdir")):
        config, _ = _config(argv, default_config)
        title = _config_name or f"the run in {_value(argv, 'workdir')}"
        parts.append("\n".join([f"Keys of {title}, with their values:", *describe(config)]))
    return parts
