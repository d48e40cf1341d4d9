"""The base of every study."""

from ml_collections import ConfigDict

ONE_CHECKPOINT = ("checkpoint.keep_best=", "checkpoint.keep_last=1")
# Linear five-shot accuracy on ImageNet, evaluated at the end.
IMAGENET_FEWSHOT = (
    *(
        "evaluation.fewshot.shots=(5,)",
        "evaluation.fewshot.name=imagenet2012",
        "evaluation.fewshot.test_split=validation",
    ),
    "evaluation.every_steps=0",
)
# Pre-training of ResNets as in table 3 of 2010.11929, which the configs of ViTs and hybrids follow.
BIT = (
    *("data.name=imagenet21k", "data.train_split=train[51200:]", 'data.eval_splits=("train[:51200]",)'),
    *("optim.name=adamw", "optim.schedule=linear", "optim.warmup_steps=10000", "optim.weight_decay=0.1"),
)


def get_config(title: str, paper: str, question: str) -> ConfigDict:
    """A study without runs.

    Args:
      title: of the report.
      paper: the figure or table it reproduces.
      question: what it asks, a sentence.
    """
    study = ConfigDict()
    study.title, study.paper, study.question = title, paper, question
    study.reported = ""  # what the paper reports, in Markdown
    study.seeds = 3  # runs of each point
    study.at_once = 1  # runs at a time on this machine
    study.runs = ()  # see `run`
    study.after = ()  # commands after each run: "visualize.py gradients" is given the run's --workdir
    study.select = ""  # early stopping: the metric whose best evaluation counts; "": the last evaluation counts
    study.select_mode = "max"
    study.figures = ()  # of the report, see `figure`
    return study


def run(config: str, *changes: str, **labels: object) -> dict[str, object]:
    """One point of a study.

    Args:
      config: a file of configs/ with its variant.
      changes: "optim.learning_rate=1e-3" ..., as on the command line.
      labels: of the point in the table: model="ViT", images=600.
    """
    return dict(config=config, changes=changes, labels=tuple(labels.items()))


def figure(name: str, **arguments: object) -> dict[str, object]:
    """A figure of the report. arguments: of `draw` in analysis/studies/NAME.py."""
    return dict(name=name, arguments=tuple(arguments.items()))


def sized(size: str, tiny: tuple[str, ...], real: tuple[str, ...]) -> tuple[str, tuple[str, ...]]:
    """The config and the changes of a study's size: "tiny", or "" for the paper's own."""
    config, *changes = tiny if size else real
    return config, (*changes, *ONE_CHECKPOINT)


def metric(size: str) -> str:
    """The metric of a ViT's study of that size."""
    return "test/accuracy" if size else "imagenet2012/5_shot"
