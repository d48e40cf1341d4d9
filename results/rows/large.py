"""Claims whose figures need accelerators and data sets that have to be downloaded: the command and what it costs."""

from pathlib import Path

from results import plan_table
from results.rows import Accelerated, Claim, Evidence

TRANSFORMER, VIT = "1706.03762", "2010.11929"
WMT, IMAGENET, IMAGENET21K = "configs/transformer_wmt14.py", "configs/vit_imagenet.py", "configs/vit_imagenet21k.py"
TUNE, MACHINE = "configs/vit_finetune.py", "h100x8"
# ImageNet-21k has 14.2 million images where ImageNet has 1.28; its runs have 90 epochs, or 30, where those have 300.
IMAGES = 14_197_122 / 1_281_167
STEPS = {"imagenet": "20,000 steps", "cifar10": "10,000 steps", "cifar100": "10,000 steps"}
STEPS |= {"pets": "500 steps", "flowers": "500 steps", "vtab_caltech101": "19 runs, one for each task, of 2,500 steps"}
# The paper's English-French: 36 million pairs, and 32,000 word pieces.
FRENCH = " --config.data.name=wmt14_translate/fr-en --config.data.languages=\"('en','fr')\""
FRENCH += " --config.data.vocabulary_size=32000 --config.model.dropout=0.1"


def _train(config: str, plan: str, then: str, times: float = 1, cost: str = "") -> Evidence:
    """then: the command that scores the run, or goes on with it, in the workdir that the first has by itself."""
    plan = f"{plan} on {MACHINE}"
    change = (plan_table.recorded()[plan]["change"] or {}).get("flags", "")  # without which it does not fit there
    command = " ".join(filter(None, (f"python train.py --config={config}", change, "--config.data.data_dir=DIR")))
    return Accelerated(f"{command} && {then}", plan, cost, times)


def _translated(variant: str, plan: str, flags: str = "", workdir: str = "") -> Evidence:
    """Scored on newstest2014 as in the paper: the mean of the last 5 checkpoints, of big 20."""
    folder, own = workdir or f"runs/transformer_wmt14-{variant}", f" --workdir={workdir}" * bool(workdir)
    average = 20 if variant == "big" else 5
    score = f"python evaluate.py --workdir={folder} --split=test --average={average} --config.data.data_dir=DIR"
    return _train(f"{WMT}:{variant}{flags}{own}", plan, score)


def _pretrained(config: str, model: str, times: float = 1) -> Evidence:
    """Fine-tuned on ImageNet at 384 pixels, as the paper's figures are."""
    folder = f"runs/{Path(config).stem}-{model.replace('/', '_')}"
    tune = f"python train.py --config={TUNE}:imagenet+{model} --config.init_from={folder} --config.data.data_dir=DIR"
    return _train(f"{config}:{model}", f"ViT-{model}", tune, times, "without the fine-tuning of 20,000 steps")


def _tuned(name: str, task: str, paper: str, text: str = "") -> Claim:
    """L/16, pre-trained on ImageNet-21k, on another data set: table 2."""
    return Claim(
        f"finetune_{task.partition('_')[0]}",
        text or f"L/16 pre-trained on ImageNet-21k, fine-tuned on {name} at 384 pixels.",
        f"{VIT}, table 2",
        f"{paper} %",
        Accelerated(
            f"python train.py --config={TUNE}:{task}+L/16 --config.init_from=ViT-L_16.npz --config.data.data_dir=DIR",
            cost=f"{STEPS[task]} of 512 images at 384 pixels, from the published weights",
        ),
    )


def _study(name: str, plan: str, times: float) -> Evidence:
    command = f"python study.py --study=configs/studies/{name}.py --launch=slurm"
    return Accelerated(command, f"{plan} on {MACHINE}", times=times)


CLAIMS = (
    Claim(
        "wmt14_base",
        "The base model translates English to German.",
        f"{TRANSFORMER}, table 2",
        "27.3 BLEU",
        _translated("base", "Transformer base"),
    ),
    Claim(
        "wmt14_big",
        "The big model is above all models and ensembles before it.",
        f"{TRANSFORMER}, table 2",
        "28.4 BLEU",
        _translated("big", "Transformer big"),
    ),
    Claim(
        "wmt14_french",
        "The big model translates English to French better than single models before it.",
        f"{TRANSFORMER}, table 2",
        "41.8 BLEU (base 38.1)",
        _translated("big", "Transformer big", FRENCH, "runs/transformer_wmt14-big-fr"),
    ),
    Claim(
        "wmt14_heads",
        "One head is 0.9 BLEU below the best number; too many are worse too.",
        f"{TRANSFORMER}, table 3 A",
        "24.9, 25.5, 25.8, 25.8, 25.4 BLEU for 1, 4, 8, 16, 32 heads",
        _study("transformer_heads", "Transformer base", 5 * 3),
    ),
    Claim(
        "wmt14_rows",
        "Smaller heads and no dropout hurt, larger models help, learned positions are as good as sinusoids.",
        f"{TRANSFORMER}, table 3 B to E",
        "23.7 to 26.2 BLEU",
        _study("transformer_rows", "Transformer base", 15 * 3),
    ),
    Claim(
        "imagenet_b16",
        "ViT-B/16 from scratch on ImageNet.",
        f"{VIT}, table 5",
        "77.91 %",
        _pretrained(IMAGENET, "B/16"),
    ),
    Claim(
        "imagenet_l16",
        "On ImageNet alone the larger L/16 is worse than B/16, in spite of regularisation.",
        f"{VIT}, figure 3",
        "76.53 against 77.91 %",
        _pretrained(IMAGENET, "L/16"),
    ),
    Claim(
        "imagenet21k_b16",
        "Pre-trained on ImageNet-21k, B/16 is 6 points better.",
        f"{VIT}, table 5",
        "83.97 %",
        _pretrained(IMAGENET21K, "B/16", IMAGES * 90 / 300),
    ),
    Claim(
        "imagenet21k_l16",
        "Pre-trained on ImageNet-21k, L/16 is better than B/16.",
        f"{VIT}, table 5",
        "85.15 %",
        _pretrained(IMAGENET21K, "L/16", IMAGES * 90 / 300),
    ),
    Claim(
        "imagenet21k_h14",
        "H/14 gains little over L/16 from ImageNet-21k, and more from a larger set.",
        f"{VIT}, table 5",
        "85.13 %; JFT 88.04 %",
        _pretrained(IMAGENET21K, "H/14", IMAGES * 90 / 300),
    ),
    Claim(
        "large_data",
        "ViT-B/32 is below ResNet50 at 9 million images, and above from 90 million on.",
        f"{VIT}, figure 4",
        "",
        _study("vit_data_scaling", "ViT-B/16", IMAGES * 7 / 300 * 15),
    ),
    Claim(
        "large_compute",
        "For the same accuracy a ViT needs two to four times less compute than a ResNet; small hybrids are better.",
        f"{VIT}, figure 5",
        "B/16: 84.15 % at 224 exaFLOPs; R152x2: 84.97 % at 563",
        _study("vit_compute", "ViT-B/16", IMAGES * 21 / 300 * 14),
    ),
    Claim(
        "large_shape",
        "Depth helps most, up to 64 layers; width least.",
        f"{VIT}, figure 8",
        "",
        _study("vit_shape", "ViT-B/16", IMAGES * 7 / 300 * 16 * 3),
    ),
    Claim(
        "large_positions",
        "Without positions B/16 is 3 points worse in 5-shot accuracy.",
        f"{VIT}, table 8",
        "61.4 against 64.2 %",
        _study("vit_positions", "ViT-B/16", IMAGES * 7 / 300 * 6 * 3),
    ),
    Claim(
        "large_optimiser",
        "Adam is better than SGD for pre-training ResNets on most data sets.",
        f"{VIT}, table 7",
        "77.54 and 78.24 %; 84.97 and 84.37 %",
        _study("optimizer", "ViT-B/16", IMAGES * 7 / 300 * 12 * 3),
    ),
    _tuned("ImageNet", "imagenet", "85.30"),
    _tuned("CIFAR-10", "cifar10", "99.15"),
    _tuned("CIFAR-100", "cifar100", "93.25"),
    _tuned("Oxford-IIIT Pets", "pets", "94.67"),
    _tuned("Oxford Flowers-102", "flowers", "99.61"),
    _tuned(
        "VTAB",
        "vtab_caltech101",
        "72.72",
        "L/16 pre-trained on ImageNet-21k, fine-tuned on 1,000 images of each of VTAB's 19 tasks, in the mean.",
    ),
    Claim(
        "masked_patches",
        "Predicting mean colours of hidden patches gives B/16 79.9 % on ImageNet, 2 points above from scratch.",
        f"{VIT}, section 4.6",
        "79.9 %",
        Accelerated(
            "python train.py --config=configs/masked_patches_imagenet21k.py:B/16 --config.data.data_dir=DIR && "
            f"python train.py --config={TUNE}:imagenet+B/16 "
            "--config.init_from=runs/masked_patches_imagenet21k-B_16 --config.data.data_dir=DIR",
            cost="not planned: the paper pre-trains for a million steps of 4,096 images of JFT",
        ),
    ),
)
