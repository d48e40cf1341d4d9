"""Published DINOv2 and DINOv3, frozen: a linear classifier and nearest neighbours of their features.

    python train.py --config=configs/dinov2_probe.py:cifar10+v2-S/14 --config.init_from=FOLDER ...

FOLDER is as it is downloaded from Hugging Face; of DINOv2 timm's .safetensors serve too. Models: v2-S/14 v2-B/14
v2-L/14, with four registers v2reg-S/14 ..., v3-S/16 v3-B/16 v3-L/16. Tasks as in configs/vit_finetune.py. Images have
224 pixels, for which the positions of DINOv2, of 518, are interpolated. A segmenter begins with the same weights where
it has the same keys of config.model: configs/segmenter_ade20k.py.
"""

from ml_collections import ConfigDict

from configs import vit_finetune, vit_linear_probe

KEYS: dict[str, dict[str, object]] = {
    "v2": dict(position_grid=(37, 37)),
    "v2reg": dict(position_grid=(37, 37), registers=4),
    "v3": dict(positions="rotary", registers=4, key_bias=False, norm_epsilon=1e-5),
}
MODELS = tuple(f"{kind}-{size}/{16 if kind == 'v3' else 14}" for kind in KEYS for size in ("S", "B", "L"))
VARIANTS = {"task": vit_finetune.VARIANTS["task"], "model": MODELS}


def get_config(task: str = "cifar10", model: str = "v2-S/14") -> ConfigDict:
    """The config of a task and a model: see above."""
    kind, _, variant = model.partition("-")
    config = vit_linear_probe.get_config(task, variant)
    config.model.update(layer_scale=1.0, **KEYS[kind])
    config.data.update(mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225), interpolation="bicubic")
    config.evaluation.fewshot = ConfigDict(dict(neighbours=(20,)))
    return config
