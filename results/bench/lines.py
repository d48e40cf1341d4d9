"""The lines that `make bench` measures: what is measured, and for which contestants."""

from dataclasses import dataclass, field

from lookup import Json

OURS = "Attend"
SECONDS = 4.0  # of a turn


@dataclass(frozen=True)
class Contestant:
    """One that a line measures.

    Attributes:
      function: of a file in contestants/: "vit.timm".
      arguments: besides those of the line.
      torch: whether it needs the interpreter with PyTorch.
      published: whether it is JAX code that was published with a paper or a library.
    """

    function: str
    arguments: Json = field(default_factory=dict)
    torch: bool = False
    published: bool = False


@dataclass(frozen=True)
class Line:
    """One measure.

    Attributes:
      name: on the command line.
      title: in the table.
      unit: of the values.
      contestants: by name, ours (OURS) first.
      arguments: of all contestants.
      expected: what ours should come to.
      less: whether a smaller value is better.
      seconds: of a turn, whose value is a rate; 0 where a turn is one call that returns the value.
      exact: whether a second round would give the same values.
      together: whether contestants are built and warmed all at once, on a machine with processors enough.
    """

    name: str
    title: str
    unit: str
    contestants: dict[str, Contestant]
    arguments: Json = field(default_factory=dict)
    expected: str = ""
    less: bool = False
    seconds: float = SECONDS
    exact: bool = False
    together: bool = False

    @property
    def words(self) -> Json:
        """What a record says of the line."""
        words = {key: getattr(self, key) for key in ("title", "unit", "less", "expected")}
        return words | {"published": [name for name, one in self.contestants.items() if one.published]}

    @property
    def warm_up(self) -> int:
        """Calls before the first turn, in which programs are compiled and caches filled."""
        return 2 if self.seconds else 0


def size(width: int, depth: int, heads: int, mlp_dim: int, patch: int, image: int, classes: int) -> dict[str, int]:
    """Of a ViT."""
    return dict(vars())


TI = size(192, 12, 3, 768, 16, 224, 1000)
S = size(384, 12, 6, 1536, 16, 224, 1000)
B = size(768, 12, 12, 3072, 16, 224, 1000)
SMALL = size(384, 7, 12, 384, 4, 32, 10)  # configs/vit_cifar10.py


def vit(config: str, train: bool = True) -> dict[str, Contestant]:
    """Who computes a ViT."""
    way = {"train": train}
    return {
        OURS: Contestant("vit.ours", way | {"config": config}),
        "vision_transformer": Contestant("vit.vision_transformer", way, published=True),
        "big_vision": Contestant("vit.big_vision", way, published=True),
        "timm": Contestant("vit.timm", way, torch=True),
        "timm compiled": Contestant("vit.timm", way | {"compiled": True}, torch=True),
    }


TRANSLATION = {
    OURS: Contestant("translation.ours"),
    "flax wmt": Contestant("translation.flax", published=True),
    "Marian (transformers)": Contestant("translation.marian", torch=True),
}


def images(antialias: bool) -> dict[str, Contestant]:
    """Who reads images, with resampling alike."""
    alike = {"antialias": antialias}
    return {
        OURS: Contestant("images.ours", alike),
        "big_vision fused": Contestant("images.big_vision", alike | {"fused": True}, published=True),
        "big_vision": Contestant("images.big_vision", alike | {"fused": False}, published=True),
    } | ({"torchvision (PIL)": Contestant("images.torchvision", torch=True)} if antialias else {})


def decoding(weights: str) -> dict[str, Contestant]:
    """Who translates, with weights of "float32" or "int8"."""
    flax = {"flax wmt": Contestant("decode.flax", published=True)} if weights == "float32" else {}
    theirs = Contestant("decode.ctranslate2", {"compute_type": weights}, torch=True)
    return {OURS: Contestant("decode.ours", {"weights": weights}), **flax, f"CTranslate2 {weights}": theirs}


def start(source: str, warm: bool) -> Line:
    """A line of starts. Published code, which keeps no compiled programs, is beside the cold ones."""
    model = {"size": TI, "batch": 8}
    published = {
        name: Contestant("start.vit", model | {"function": name, "variable": name.upper()}, published=True)
        for name in ("vision_transformer", "big_vision")
    }
    return Line(
        f"start_{source}_{'warm' if warm else 'cold'}",
        f"start to first step, ViT-Ti/16, {'JPEG folder' if source == 'folder' else 'synthetic data'}, "
        f"{'warm' if warm else 'empty'} compilation cache",
        "s",
        {OURS: Contestant("start.ours", {"source": source, "warm": warm})}
        | ({} if warm else published)
        | {"timm": Contestant("start.vit", model | {"function": "timm", "package": "timm"}, torch=True)},
        expected=f"at most {(4 if source == 'synthetic' else 6) if warm else (10 if source == 'synthetic' else 12)} s",
        less=True,
        seconds=0.0,
    )


def loop(name: str, batch_size: int, steps: int, most: str) -> Line:
    """A line of the loop over the bare step. steps: of a round. most: that it may be."""
    return Line(
        name,
        f"the training loop over its bare step, vit_digits, batch {batch_size}",
        "×",
        {OURS: Contestant("loop.ours")},
        {"batch_size": batch_size, "steps": steps},
        f"at most {most}",
        less=True,
        seconds=0.0,
    )


def v5e(
    name: str,
    title: str,
    config: str,
    changes: Json,
    model: Json,
    others: tuple[str, ...],
    expected: str,
) -> Line:
    """A line of a step that is compiled for one v5e. changes: of our config; model: arguments of the others."""
    names = {"flax": "flax wmt"}
    return Line(
        name,
        f"v5e, compiled: {title}, bfloat16, training",
        "Mcycles",
        {OURS: Contestant("tpu.ours", {"config": config, "changes": changes})}
        | {names.get(other, other): Contestant(f"tpu.{other}", model, published=True) for other in others},
        expected=expected,
        less=True,
        seconds=0.0,
        exact=True,
    )


LINES = (
    Line(
        "vit_ti",
        "ViT-Ti/16, batch 8, training",
        "images/s",
        vit("configs/vit_imagenet.py:Ti/16"),
        {"size": TI, "batch": 8},
        "as fast as timm compiled, 1.33 times the published JAX code",
    ),
    Line(
        "vit_s",
        "ViT-S/16, batch 8, training",
        "images/s",
        vit("configs/vit_imagenet.py:S/16"),
        {"size": S, "batch": 8},
        "1.1 times the best of the others",
    ),
    Line(
        "vit_32",
        "ViT of 7 layers, 32 pixels, batch 64, training",
        "images/s",
        vit("configs/vit_cifar10.py"),
        {"size": SMALL, "batch": 64},
        "1.2 times the best of the others",
    ),
    Line(
        "vit_s_inference",
        "ViT-S/16, batch 8, inference",
        "images/s",
        vit("configs/vit_imagenet.py:S/16", train=False),
        {"size": S, "batch": 8},
        "1.15 times the best of the others",
    ),
    Line(
        "translation_32",
        "Transformer base, 16 x 32, dropout 0.1 everywhere, training",
        "target tokens/s",
        TRANSLATION,
        {"rows": 16, "length": 32, "vocabulary": 8000},
        "1.1 times the best of the others",
    ),
    Line(
        "translation_64",
        "Transformer base, 8 x 64, dropout 0.1 everywhere, training",
        "target tokens/s",
        TRANSLATION,
        {"rows": 8, "length": 64, "vocabulary": 8000},
        "1.1 times the best of the others",
    ),
    *(
        Line(
            f"{name}{'_int8' * (weights == 'int8')}",
            f"Transformer base, {search}, batch 8, {weights}",
            "tokens/s",
            decoding(weights),
            {"rows": 8, "length": 32, "vocabulary": 8000, "beams": beams},
            expected,
        )
        for weights in ("float32", "int8")
        for name, search, beams, expected in (
            ("greedy", "greedy", 1, "as fast as CTranslate2"),
            ("beam_4", "beam 4", 4, "1.6 times flax wmt; with int8 as fast as CTranslate2"),
        )
    ),
    *(
        Line(
            f"images{'_randaugment' * randaugment}{'_antialiased' * antialias}",
            f"JPEG to 224 pixels, random crop and flip{', RandAugment' * randaugment}, "
            f"{'anti-aliased' if antialias else 'not anti-aliased'}",
            "images/s",
            images(antialias),
            {"randaugment": randaugment},
            "1.2 times the best of the others" if randaugment else "1.1 times big_vision fused",
        )
        for randaugment in (False, True)
        for antialias in (False, True)
    ),
    start("synthetic", warm=False),
    start("synthetic", warm=True),
    start("folder", warm=False),
    start("folder", warm=True),
    *(
        Line(
            f"memory_{length}",
            f"memory of a step besides its arguments: GPT of 4 layers, width 256, {length:,} tokens",
            "GB",
            {OURS: Contestant("memory.ours"), "torch SDPA": Contestant("memory.torch", torch=True)},
            {"length": length},
            "at most 0.8 GB at 4,096, linear in the length",
            less=True,
            seconds=0.0,
            exact=True,
        )
        for length in (1024, 2048, 4096, 8192)
    ),
    loop("loop_short", 64, 50, "1.03"),
    loop("loop_long", 256, 15, "1.01"),
    v5e(
        "v5e_vit_b",
        "ViT-B/16, batch 64",
        "configs/vit_imagenet.py:B/16",
        {"data.batch_size": 64, "model.dropout": 0.0},
        {"size": B, "batch": 64},
        ("big_vision", "vision_transformer"),
        "at most 107 Mcycles and 3.9 GB",
    ),
    v5e(
        "v5e_vit_s",
        "ViT-S/16, batch 128",
        "configs/vit_imagenet.py:S/16",
        {"data.batch_size": 128, "model.dropout": 0.0},
        {"size": S, "batch": 128},
        ("big_vision", "vision_transformer"),
        "at most 100 Mcycles",
    ),
    v5e(
        "v5e_transformer",
        "Transformer base, 32 x (128 + 128) tokens, 32,000 words",
        "configs/transformer_wmt14.py:base",
        {
            "data.batch_tokens": 4096,
            "data.max_length": 128,
            "data.buckets": 1,
            "data.vocabulary_size": 32_000,
            "model.dropout": 0.0,
        },
        {"rows": 32, "length": 128, "vocabulary": 32_000},
        ("flax",),
        "at most 24 Mcycles",
    ),
)
