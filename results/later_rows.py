"""Rows of records that are there only once somebody has made them: see summary.py."""

import re

import numpy as np

from results.recorded import Record, Result, listed, percent, read, recorded


def spans() -> list[Result]:
    """What T5's pre-training gains, once it is recorded."""
    if not recorded("t5"):
        return []
    found = read("t5")
    tuned, scratch = (found[start]["mean"] for start in ("fine-tuned", "from scratch"))
    text = (
        "Multi30k, German to English by 3,000 pairs, after filling in hidden spans of 58,000 sentences that are not "
        f"paired, test2016, equal steps, 3 seeds: {tuned:.1f} BLEU, from scratch {scratch:.1f}"
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


def hour() -> list[Result]:
    """The ViT of an hour on Fashion-MNIST, once a seed is recorded."""
    runs = [run for key, run in read("fashion_mnist").items() if key.startswith("seed ")]
    if not runs:
        return []
    accuracies = [run["test/accuracy"] for run in runs]
    seeds = f"mean of {len(runs)} seeds ({listed(accuracies, 2)})" if len(runs) > 1 else "one seed"
    text = f"Fashion-MNIST: **{percent(float(np.mean(accuracies)))} %** test accuracy, {seeds} (published: 92.3 %)"
    minutes = f"{np.mean([run['seconds of the whole command'] for run in runs]) / 60:.0f} minutes"
    commits, row = tuple(sorted({run["commit"] for run in runs})), "configs/vit_fashion_mnist.py:hour"
    return [Result("vit_fashion_mnist:hour", text, minutes, "fashion_mnist.json", commits, row)]


def tiny() -> list[Result]:
    """The published small recipe on Multi30k, once a seed is recorded."""
    lines = []
    for languages, what in (("en-de", "English to German"), ("de-en", "German to English")):
        start = f"multi30k {languages} tiny, "
        runs = [run for key, run in read("translation").items() if key.startswith(start)]
        if not runs:
            continue
        cased, caseless = (
            float(np.mean([run[key] for run in runs])) for key in ("test/bleu", "test/bleu without case")
        )
        seeds = f"mean of {len(runs)} seeds" if len(runs) > 1 else "one seed"
        text = f"test2016, {what}: **{cased:.2f} BLEU** (cased, 13a, beam 5), {caseless:.2f} without case, {seeds}"
        minutes = f"{np.mean([run['minutes of training'] for run in runs]):.0f} minutes"
        commits, config = tuple(sorted({run["commit"] for run in runs})), f"transformer_multi30k:{languages}+tiny"
        row = "configs/transformer_multi30k.py:en-de+tiny"
        lines.append(Result(config, text, minutes, "translation.json", commits, row))
    return lines


def dense() -> list[Result]:
    """Detectors and segmenters, once they are recorded: a line a config, of all its seeds."""
    names = {
        "detr_digits": ("detection", "digits", "digits on cluttered canvases, from nothing", ("AP", "AP50")),
        "detr_bccd": ("detection", "bccd", "BCCD, blood cells, from nothing (time: from step 370)", ("AP", "AP50")),
        "upernet_digits": ("segmentation", "upernet_digits", "digits on canvases of 96 pixels", ("mean_iou",)),
        "upernet_digits:swin": ("segmentation", "upernet_digits:swin", "the same canvases", ("mean_iou",)),
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
        seeds = _seeds(runs)
        minutes = f"{np.mean([run['seconds of the whole command'] for run in runs]) / 60:.0f} minutes"
        made_at = tuple(sorted({run["commit"] for run in runs}))
        text = f"{what}: {numbers}, test split, {seeds}"
        file, colon, variant = config.partition(":")
        row = f"configs/{file}.py{colon}{variant}"
        lines.append(Result(config, text, minutes, f"{record}.json", made_at, row))
    return lines


def images_and_texts() -> list[Result]:
    """CLIP and SigLIP from nothing, once they are recorded: a line a config, of all its seeds."""
    if not recorded("clip"):
        return []
    names = {"clip_glyphs": "glyphs", "clip_glyphs:siglip": "glyphs siglip"}
    names |= {"clip_flickr8k": "flickr8k", "clip_flickr8k:siglip": "flickr8k siglip"}
    lines = []
    for config, name in names.items():
        runs = [run for key, run in read("clip").items() if key.startswith(f"{name}, ")]
        if not runs:
            continue

        def mean(metric: str, runs: list[Record] = runs) -> float:
            """Of the test split, over seeds."""
            return float(np.mean([run[f"test/{metric}"] for run in runs]))

        if "glyphs" in config:
            accuracy, chance = mean("zero_shot_accuracy"), mean("zero_shot_chance")
            text = (
                f"letters with marks that were never seen together, named by Unicode: **{percent(accuracy, 1)} %** "
                f"right, zero-shot (chance {percent(chance, 1)} %)"
            )
        else:
            text = (
                "Flickr8k at 112 pixels, both towers from nothing, test split: image to text R@1 "
                f"{mean('image_to_text_r1'):.3f}, R@10 **{mean('image_to_text_r10'):.3f}**, text to image R@1 "
                f"{mean('text_to_image_r1'):.3f}, R@10 **{mean('text_to_image_r10'):.3f}** (chance of R@10: 0.01)"
            )
        seeds = _seeds(runs)
        minutes = f"{np.mean([run['seconds of the whole command'] for run in runs]) / 60:.0f} minutes"
        made_at = tuple(sorted({run["commit"] for run in runs}))
        row = f"configs/{config.partition(':')[0]}.py"
        lines.append(Result(config, f"{text}, {seeds}", minutes, "clip.json", made_at, row))
    return lines


def drawings() -> list[Result]:
    """Diffusion Transformers, once they are recorded: a line a config, of all its seeds."""
    lines = []
    for config, name in (("dit_digits", "digits"), ("dit_fashion_mnist", "fashion")):
        for path in ("flow", "diffusion") if recorded("diffusion") else ():
            runs = [run for key, run in read("diffusion").items() if key.startswith(f"{name} {path}, ")]
            if not runs:
                continue
            without = [run["without the moving average"] for run in runs]
            share, real, distance, of_real = (
                _mean(runs, metric) for metric in ("recognised", "recognised_real", "frechet", "frechet_real")
            )
            text = (
                f"drawn by a {path}: **{percent(share, 1)} %** recognised as what was asked for (real images: "
                f"{percent(real, 1)} %); Fréchet distance {distance:.2f}, without the moving average "
                f"{_mean(without, 'frechet'):.2f} (training images: {of_real:.2f}); {_seeds(runs)}"
            )
            minutes = f"{np.mean([run['seconds of the whole command'] for run in runs]) / 60:.0f} minutes"
            made_at = tuple(sorted({run["commit"] for run in runs}))
            lines.append(Result(f"{config}:{path}", text, minutes, "diffusion.json", made_at, f"configs/{config}.py"))
    return lines


def clips() -> list[Result]:
    """Video models, once they are recorded: a line a config, of all its seeds."""
    names = {
        "vivit_digits": ("joint", "direction and digit of digits that move, joint attention"),
        "timesformer_digits": ("divided", "the same, divided attention"),
        "video_mae_digits": ("2,000 clips after VideoMAE", "the same with 2,000 labelled clips, after VideoMAE"),
    }
    found = read("video") if recorded("video") else {}
    lines = []
    for config, (name, what) in names.items():
        runs = [run for key, run in found.items() if key.startswith(f"{name}, seed")]
        if not runs:
            continue
        text = f"{what}: **{percent(_mean(runs), 1)} %**"
        for other, words in (("factorised", "factorised"), ("2,000 clips", "from scratch")):
            beside = [run for key, run in found.items() if key.startswith(f"{other}, seed")]
            if beside and (config, other) in (("vivit_digits", "factorised"), ("video_mae_digits", "2,000 clips")):
                text += f", {words} {percent(_mean(beside), 1)} %"
        text += f", test split, {len(runs)} seeds" if len(runs) > 1 else ", test split, one seed"
        minutes = f"{np.mean([run['seconds of the whole command'] for run in runs]) / 60:.0f} minutes"
        made_at = tuple(sorted({run["commit"] for run in runs}))
        lines.append(Result(config, text, minutes, "video.json", made_at, f"configs/{config}.py"))
    return lines


def _mean(runs: list[Record], metric: str = "accuracy") -> float:
    """Of the test split, or of the part of it that was scored, over runs."""
    values = [next(value for key, value in run.items() if re.fullmatch(rf"test.*/{metric}", key)) for run in runs]
    return float(np.mean(values))


def _seeds(runs: list[Record]) -> str:
    return f"{len(runs)} seeds" if len(runs) > 1 else "one seed"
