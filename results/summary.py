"""What the records of results/ say, as rows of the documentation: see tables.py."""

import csv
import json
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from analysis import fits, studies  # noqa: E402
from lookup import Value  # noqa: E402

Record = dict[str, Value]


@dataclass(frozen=True)
class Result:
    """A row of README's results, and what configs/README.md says of its config.

    Attributes:
      config: its name in configs/, or in configs/studies/, with the variant: "gpt_shakespeare:cpu".
      text: the result.
      time: how long it took.
      source: the record, a file in results/.
      commits: of the record.
      row: how its row in configs/README.md begins.
      note: what differs from the config as it is.
    """

    config: str
    text: str
    time: str
    source: str
    commits: tuple[str, ...]
    row: str
    note: str = ""

    @property
    def cells(self) -> list[str]:
        """The cells in README.md."""
        name = self.config.partition(":")[0]
        path = next(path for path in (f"configs/{name}.py", f"configs/studies/{name}.py") if (ROOT / path).exists())
        source = "report" if self.source.endswith(".md") else self.source
        record = f"[{source}](results/{self.source}), {made(*self.commits)}"
        return [f"[{self.config}]({path}){self.note}", self.text, self.time, record]


def read(name: str) -> Record:
    """The record results/NAME.json."""
    return json.loads((ROOT / "results" / f"{name}.json").read_text())


def recorded(name: str) -> bool:
    """Whether results/NAME.json is there."""
    return (ROOT / "results" / f"{name}.json").exists()


def table_of(study: str) -> list[Record]:
    """The runs of a recorded study. Numbers are numbers."""

    def value(text: str) -> object:
        """A cell."""
        try:
            return float(text)
        except ValueError:
            return text

    with (ROOT / "results" / study / "table.csv").open() as file:
        return [{key: value(text) for key, text in row.items()} for row in csv.DictReader(file)]


def made(*commits: str) -> str:
    """From what code a record was made."""
    names = [commit[:7] + " with uncommitted changes" * commit.endswith("+") for commit in commits]
    return f"at {', '.join(names)}" if all(commits) else "commit not recorded"


def percent(share: float, digits: int = 2) -> str:
    """A share, such as "99.44"."""
    return f"{100 * share:.{digits}f}"


def listed(shares: Iterable[float], digits: int = 0) -> str:
    """Shares in percent, such as "100, 84, 20"."""
    return ", ".join(percent(share, digits) for share in shares)


def mean_by(rows: list[Record], *labels: str, metric: str = "test/accuracy") -> dict[Value, tuple[float, float]]:
    """The mean of a metric, and half its interval, by the values of labels."""
    values: dict[Value, list[float]] = {}
    for row in rows:
        values.setdefault(tuple(row[label] for label in labels), []).append(row[metric])
    return {key[0] if len(key) == 1 else key: fits.interval(own) for key, own in values.items()}


def spans() -> list[Result]:
    """What T5's pre-training gains, once it is recorded."""
    if not recorded("t5"):
        return []
    found = read("t5")
    tuned, scratch = (percent(found[start]["mean"], 1) for start in ("fine-tuned", "from scratch"))
    best = f"**{tuned}**" if float(tuned) > float(scratch) else tuned
    text = (
        "1,000 pairs of dates after filling in hidden spans of 40,000 that are not paired, held-out dates, equal "
        f"steps, 3 seeds: {best} % exact match, from scratch {scratch} %"
    )
    row, note = "configs/t5_pretrain.py", ", by [t5.py](results/t5.py)"
    return [Result("t5_pretrain", text, "", "t5.json", (found["commit"],), row, note)]


def vectors() -> list[Result]:
    """What vectors of skip-gram gain, once it is recorded."""
    if not recorded("word_vectors"):
        return []
    found = read("word_vectors")
    best = {
        name: percent(float(np.mean(found[f"encoder, {name} embedding"]["best"])), 1)
        for name in ("skip-gram", "random")
    }
    text = (
        f"SST-2, an encoder of words that begins with these vectors, best validation accuracy, 3 seeds: "
        f"{best['skip-gram']} %, with random ones {best['random']} %"
    )
    row, note = "configs/skip_gram_sst2.py", ", by [word_vectors.py](results/word_vectors.py)"
    return [Result("skip_gram_sst2", text, "", "word_vectors.json", (found["commit"],), row, note)]


def dense() -> list[Result]:
    """Detectors and segmenters, once they are recorded: a line a config, of all its seeds."""
    names = {
        "detr_digits": ("detection", "digits", "digits on cluttered canvases, from nothing", ("AP", "AP50")),
        "detr_bccd": ("detection", "bccd", "BCCD, blood cells, from nothing", ("AP", "AP50")),
        "upernet_digits": ("segmentation", "upernet_digits", "digits on cluttered canvases", ("mean_iou",)),
        "segmenter_digits": ("segmentation", "segmenter_digits", "digits on cluttered canvases", ("mean_iou",)),
        "swin_camvid": ("segmentation", "swin_camvid", "CamVid at 180 x 240, from nothing", ("mean_iou",)),
    }
    lines = []
    for config, (record, name, what, metrics) in names.items():
        runs = [run for key, run in read(record).items() if key.startswith(f"{name}, ")] if recorded(record) else []
        if not runs:
            continue
        numbers = ", ".join(
            f"{metric.replace('mean_iou', 'mean IoU')} **{np.mean([run[f'test/{metric}'] for run in runs]):.3f}**"
            for metric in metrics
        )
        seeds = f"{len(runs)} seeds" if len(runs) > 1 else "one seed"
        minutes = f"{np.mean([run['seconds of the whole command'] for run in runs]) / 60:.0f} minutes"
        made_at = tuple(sorted({run["commit"] for run in runs}))
        text = f"{what}: {numbers}, test split, {seeds}"
        lines.append(Result(config, text, minutes, f"{record}.json", made_at, f"configs/{config}.py"))
    return lines


def results() -> list[Result]:
    """The rows of README's results."""
    digits, fashion, language = read("digits"), read("fashion_mnist"), read("language_model")
    gpt, modern = language["shakespeare cpu"], [language[f"modern cpu, seed {seed}"] for seed in range(3)]
    losses = [run["validation/loss"] for run in modern]
    accuracies = [run["test/accuracy"] for run in digits["runs"]]
    seconds = [run["seconds"] for run in digits["runs"]]
    epoch = fashion["curve"][-1]
    sst2, own, bert = read("sst2"), read("self_supervision"), read("bert")
    probe = {name: percent(value, 1) for name, value in own["accuracy"]["linear probe"].items()}
    tuned = {name: percent(float(np.mean(values)), 1) for name, values in own["accuracy"]["fine-tuned"].items()}
    transfer, translated, aligned = read("transfer"), read("translation"), read("alignment")["GRU, Bahdanau"]
    fashion_config, mae = "configs/vit_fashion_mnist.py", "configs/mae_fashion_mnist.py"
    multi30k, seq2seq = "configs/transformer_multi30k.py:de-en", "configs/seq2seq_multi30k.py:gru+bahdanau"

    def translation(name: str, config: str, row: str, what: str, note: str = "") -> Result:
        """A row of the record of translations."""
        run = translated[name]
        exact = f"**{percent(run['test/exact_match'])} %** exact match"
        bleu = f"**{run['test/bleu']:.2f} BLEU** (cased, 13a, beam 5)"
        text = f"{what}: {bleu if 'multi30k' in name else exact}"
        time = f"{run['minutes of training']:.0f} minutes"
        return Result(config, text, time, "translation.json", (run["commit"],), row, note)

    def transferred(name: str, config: str) -> Result:
        """A row of the record of transfer."""
        tuned, scratch = (percent(transfer[name][f"mean {how}"], 1) for how in ("fine-tuned", "from scratch"))
        text = (
            "Fashion-MNIST, five classes learned after the other five, 1,000 images, 100 steps, 3 seeds: "
            f"**{tuned} %** fine-tuned, {scratch} % from scratch"
        )
        note = ", by [transfer.py](results/transfer.py)"
        return Result(config, text, "", "transfer.json", (transfer["commit"],), f"configs/{config}.py", note)

    return [
        Result(
            "vit_digits",
            f"digits: **{percent(digits['test/accuracy, mean'])} %** test accuracy, mean of {len(accuracies)} seeds "
            f"({listed(accuracies, 2)})",
            f"{min(seconds):.0f} to {max(seconds):.0f} s",
            "digits.json",
            (digits["commit"],),
            "configs/vit_digits.py",
        ),
        Result(
            "vit_fashion_mnist",
            f"Fashion-MNIST: {percent(epoch['test/accuracy'])} % test accuracy at epoch {epoch['epoch']:.0f} of "
            f"{fashion['config']['epochs']:.0f}, where the run was cut off (published after 200 epochs: 92.3 %)",
            f"at most {fashion['images_per_second, best log line']} images a second",
            "fashion_mnist.json",
            ("",),
            fashion_config,
        ),
        translation("dates", "transformer_dates", "configs/transformer_dates.py", "held-out dates"),
        translation("reverse", "transformer_reverse", "configs/transformer_reverse.py", "held-out sequences"),
        translation("dates t5", "t5_dates", "configs/t5_dates.py", "held-out dates"),
        Result(
            "gpt_shakespeare:cpu",
            f"Tiny Shakespeare: validation loss **{gpt['validation/loss']:.3f}**, "
            f"{gpt['validation/bits_per_byte']:.2f} bits per byte; on nanoGPT's validation "
            f"text {gpt['validation+test/loss']:.3f} (nanoGPT: 1.88)",
            f"{gpt['seconds of the whole command']:.0f} s",
            "language_model.json",
            (gpt["commit"],),
            "configs/gpt_shakespeare.py:cpu",
        ),
        Result(
            "gpt_modern:cpu",
            f"Tiny Shakespeare: validation loss **{np.mean(losses):.3f}**, mean of 3 seeds "
            f"({', '.join(f'{loss:.3f}' for loss in losses)})",
            "",
            "language_model.json",
            (modern[0]["commit"],),
            "configs/gpt_modern.py:cpu",
        ),
        Result(
            "seq2seq_reverse:gru+bahdanau",
            f"sequences written backwards: **{percent(aligned['alignment_error_rate'], 1)} %** alignment error rate, "
            f"{percent(aligned['test/sentence_accuracy'], 1)} % of sentences right",
            "",
            "alignment.json",
            (aligned["commit"],),
            "configs/seq2seq_reverse.py:gru+bahdanau",
            ", by [alignment.py](results/alignment.py)",
        ),
        translation("multi30k en-de", "transformer_multi30k:en-de", multi30k, "test2016, English to German"),
        translation(
            "multi30k de-en, 7 epochs",
            "transformer_multi30k:de-en",
            multi30k,
            "German to English, an earlier recipe and 7 epochs",
        ),
        translation(
            "multi30k de-en gru+bahdanau, 10 epochs",
            "seq2seq_multi30k:gru+bahdanau",
            seq2seq,
            "test2016, German to English, 10 epochs",
        ),
        translation("multi30k de-en gru+none", "seq2seq_multi30k:gru+none", seq2seq, "the same without attention"),
        Result(
            "encoder_sst2:mean",
            f"SST-2: **{percent(sst2['validation/accuracy'])} %** validation accuracy at step {sst2['step']}, "
            f"{percent(sst2['validation/accuracy at the last step, 2116'])} % at the end",
            f"{sst2['minutes of training']:.0f} minutes",
            "sst2.json",
            (sst2["commit"],),
            "configs/encoder_sst2.py:mean",
        ),
        Result(
            "bert_finetune:sst2+Tiny",
            "SST-2, BERT-Tiny pre-trained on its phrases without labels, validation accuracy, 3 seeds: "
            + "; ".join(
                f"{part} {percent(bert[part]['fine-tuned']['mean'], 1)} %, from scratch "
                f"{percent(bert[part]['from scratch']['mean'], 1)} %"
                for part in ("all labels", "2,000 labels")
            ),
            "",
            "bert.json",
            (bert["commit"],),
            "configs/bert_finetune.py:sst2+Tiny",
            ", by [bert.py](results/bert.py)",
        ),
        *spans(),
        *vectors(),
        *dense(),
        Result(
            "mae_fashion_mnist",
            f"Fashion-MNIST, a linear classifier on frozen features: MAE, 4 epochs, **{probe['mae']} %**; mean "
            f"colours, 2 epochs, {probe['mean_color']} %; random network {probe['random']} %. Fine-tuned on 1,000 "
            f"images, 3 seeds: MAE **{tuned['mae']} %**, mean colours {tuned['mean_color']} %, from "
            f"scratch {tuned['random']} %",
            "",
            "self_supervision.json",
            (own["commit"],),
            mae,
            ", `:mean_color`, by [self_supervision.py](results/self_supervision.py)",
        ),
        transferred("ViT", "vit_fashion_mnist"),
        transferred("BiT ResNet", "resnet_fashion_mnist"),
        *of_studies(),
    ]


def of_studies() -> list[Result]:
    """The rows of studies."""
    scaling, optimisers, recurrence = map(table_of, ("vit_data_scaling", "optimizer_modern", "attention_recurrence"))
    by_size, by_length = mean_by(scaling, "model", "images"), mean_by(recurrence, "model", "length")
    sizes, lengths = ({row[key] for row in rows} for rows, key in ((scaling, "images"), (recurrence, "length")))
    ends = [
        f"{model} {percent(by_size[model, min(sizes)][0], 1)} to {percent(by_size[model, max(sizes)][0], 1)} %"
        for model in ("ViT", "BiT ResNet", "hybrid")
    ]
    by_rate = mean_by(optimisers, "optimiser", "learning_rate")
    best = {name: max(value for (own, _), value in by_rate.items() if own == name) for name, _ in by_rate}
    reached = ", ".join(
        f"{name} {studies.plus_minus(*value, 'accuracy')}"
        for name, value in sorted(best.items(), key=lambda item: -item[1][0])
    )
    firsts = [
        f"{name} {listed(by_length[model, length][0] for length in sorted(lengths))}"
        for name, model in (("encoder", "attention"), ("RNN", "RNN"), ("LSTM", "LSTM"), ("GRU", "GRU"))
    ]

    def study(config: str, rows: list[Record], text: str) -> Result:
        """A row."""
        minutes = sum(row["train_seconds"] for row in rows) / 60
        commits = tuple(sorted({row["commit"] for row in rows}))
        name, time = config.partition(":")[0], f"{len(rows)} runs, {minutes:,.0f} minutes of training"
        return Result(config, text, time, f"{name}/report.md", commits, f"{name}.py")

    return [
        study(
            "vit_data_scaling:fashion_mnist",
            scaling,
            f"Fashion-MNIST, {min(sizes):,.0f} to {max(sizes):,.0f} images, 3 seeds: {', '.join(ends)}",
        ),
        study(
            "optimizer_modern:tiny",
            optimisers,
            f"digits, 400 steps or the same arithmetic, 3 seeds, best of three rates: {reached}",
        ),
        study(
            "attention_recurrence:cpu",
            recurrence,
            f"first of {', '.join(f'{length:.0f}' for length in sorted(lengths))} symbols, test accuracy in %, 3 "
            f"seeds: {'; '.join(firsts)} (chance: 12.5)",
        ),
    ]


NAMES = {  # of results/kill_storms.py
    "gpt": "GPT",
    "mae": "MAE",
    "pmap": "pmap",
    "fsdp": "fsdp x tensor on 8 devices",
    "stream": "streamed TFRecords",
    "hosts": "two hosts",
}


def measured() -> list[list[str]]:
    """The rows of README's measurements: what, value, record."""
    mesh, parity = map(read, ("mesh_memory", "parity"))
    damage, kills, storms, hosts = map(read, ("damage_drill", "kill_storm", "kill_storms", "hosts_drill"))
    kinds = list(storms["kinds"].values())
    state = {row["data x fsdp x tensor"]: row["parameters and optimizer, MB"] for row in mesh["per device"]}
    found = [row["detected"] and row["same_bits"] for row in damage["log"]]
    silent = [row for row in hosts["table"] if row["drill"].startswith(("kill", "SIGSTOP"))]
    lost = [seconds for row in silent for seconds in row["seconds_until_all_ended"]]

    def row(what: str, value: str, name: str, record: Record) -> list[str]:
        """A row."""
        return [what, value, f"[{name}.json](results/{name}.json), {made(record.get('commit', ''))}"]

    return [
        row(
            "a device's share of ViT-B/16's parameters and optimiser state, 8 devices",
            f"{state['8 x 1 x 1']:,.0f} MB on data axes, {state['1 x 8 x 1']:.0f} MB on fsdp 8, "
            f"{state['2 x 2 x 2']:.0f} MB on 2 x 2 x 2",
            "mesh_memory",
            mesh,
        ),
        row(
            f"{len(found)} random damages to checkpoints, and a disk that fills during a save",
            f"{sum(found)} detected; the run resumes from the newest good step to the same bits",
            "damage_drill",
            damage,
        ),
        row(
            f"{kills['kills']} times `kill -9` spread over a run, {kills['that left a save unfinished']} of them "
            "during a save, then to the end",
            "the same bits in weights, optimiser state and metrics as an undisturbed run"
            if all(kills["same_bits"].values())
            else "other bits than an undisturbed run",
            "kill_storm",
            kills,
        ),
        row(
            f"the same, {sum(kind['kills'] for kind in kinds)} times, {kinds[0]['kills']} of each kind of run: "
            f"{', '.join(NAMES.get(name, name) for name in storms['kinds'])}",
            "the same bits in each"
            if all(all(kind["same_bits"].values()) for kind in kinds)
            else "other bits than an undisturbed run",
            "kill_storms",
            kinds[0],
        ),
        row(
            f"two hosts: `kill -9`, SIGSTOP, an exception, SIGTERM, SIGINT of one, {len(hosts['log'])} drills",
            f"{sum(run['survived'] for run in hosts['log'])} ended (after a lost host within {max(lost)} s of "
            "`--host_timeout=15`) and resumed to the last step",
            "hosts_drill",
            hosts,
        ),
        row(
            f"published weights of ViT, DeiT, hybrids, BiT, Mixer: {len(parity['rows'])} models with random weights "
            "against timm, transformers and Google's code (`make test-parity`)",
            f"logits at most **{max(row['largest error'] for row in parity['rows']):.1e}** apart",
            "parity",
            parity,
        ),
    ]
