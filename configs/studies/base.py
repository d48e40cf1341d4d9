"""What every study begins with."""

from ml_collections import ConfigDict

ONE_CHECKPOINT = ("checkpoint.keep_best=", "checkpoint.keep_last=1")
# Linear five-shot accuracy on ImageNet, counted at the end.
IMAGENET_FEWSHOT = (
    *(
        "evaluation.fewshot.shots=(5,)",
        "evaluation.fewshot.name=imagenet2012",
        "evaluation.fewshot.test_split=validation",
    ),
    "evaluation.every_steps=0",
)
# ResNets pre-trained as in Table 3 of 2010.11929, as the configs of ViTs and hybrids are.
BIT = (
    *("data.name=imagenet21k", "data.train_split=train[51200:]", 'data.eval_splits=("train[:51200]",)'),
    *("optim.name=adamw", "optim.schedule=linear", "optim.warmup_steps=10000", "optim.weight_decay=0.1"),
)


def get_config(title: str, paper: str, question: str) -> ConfigDict:
    """A study without runs.

    Args:
      title: of its report. paper: the figure or table that it answers to. question: what it asks, a sentence.
    """
    study = ConfigDict()
    study.title, study.paper, study.question = title, paper, question
    study.reported = ""  # what the paper reports, in Markdown
    study.seeds = 3  # runs of each point
    study.at_once = 1  # runs at a time on this machine
    study.runs = ()  # see `run`
    study.after = ()  # commands after each run: "visualize.py gradients" becomes python visualize.py --workdir=... gradients
    study.select = ""  # early stopping: the figure whose best evaluation's figures count; "": the last evaluation's
    study.select_mode = "max"
    study.figures = ()  # of the report, each a module of analysis/studies/ by name and its arguments; see `figure`
    return study


def run(config: str, *changes: str, **labels: object) -> dict[str, object]:
    """One point of a study.

    Args:
      config: a file of configs/ with its variant. changes: "optim.learning_rate=1e-3" ..., as on the command line.
      labels: what the point is called in the table: model="ViT", images=600.
    """
    return dict(config=config, changes=changes, labels=tuple(labels.items()))


def figure(name: str, **arguments: object) -> dict[str, object]:
    """A figure of the report: analysis/studies/NAME.py's `draw` takes the arguments."""
    return dict(name=name, arguments=tuple(arguments.items()))


def check(size: str, *others: str) -> None:
    """That a study has a size: "tiny", "" for the paper's own, or one of others."""
    if size not in ("", "tiny", *others):
        raise ValueError(
            f"the study has no size {size!r}: {', '.join(('tiny', *others))}, or none for the paper's own."
        )


def sized(size: str, tiny: tuple[str, ...], real: tuple[str, ...]) -> tuple[str, tuple[str, ...]]:
    """The config and the changes of a study's size: "tiny", or "" for the paper's own."""
    check(size)
    config, *changes = tiny if size else real
    return config, (*changes, *ONE_CHECKPOINT)


def metric(size: str) -> str:
    """What a ViT's study of that size is about."""
    return "test/accuracy" if size else "imagenet2012/5_shot"
