"""Claims of 1706.03762 on attention itself, that need no training: scale, heads, positions, costs.

d_k head size, n tokens, d width.
"""

from functools import partial
from typing import Any, get_args

import flax.linen as nn
import jax
import jax.extend
import jax.numpy as jnp
import numpy as np
from jaxtyping import PyTree

from analysis import fits
from analysis.figures import sinusoids
from models import attention, cells, kernels, positions
from results.rows import Claim, Computed, Found, Numbers, verdict
from training import flops

CELLS = get_args(cells.Cell)
SIZES = (4, 16, 64, 256, 1024)  # d_k
KEYS, QUERIES = 64, 512
EXTREMELY = 0.01  # small: times what it is with the scale
LENGTHS = (64, 256, 1024, 4096)
WIDTH, PLACES = 512, 256  # of the table of sinusoids


def _products(size: int) -> jax.Array:
    """q·k of random vectors with components of mean 0 and variance 1: (queries, keys)."""
    query, key = (jax.random.normal(key, (QUERIES, KEYS, size)) for key in jax.random.split(jax.random.key(size)))
    return jnp.einsum("qsk,qsk->qs", query, key)


def products() -> Numbers:
    """The variance of q·k by d_k."""
    variance = [float(_products(size).var()) for size in SIZES]
    growth = fits.exponent(np.array(SIZES), np.array(variance))
    assert growth
    return {"d_k": list(SIZES), "variance": variance, "exponent": growth.slope, "half_interval": growth.error}


def judge_products(found: Numbers) -> Found:
    """The variance is d_k."""
    ratios = [v / s for v, s in zip(found["variance"], found["d_k"], strict=True)]
    return Found(
        f"variance of q·k is {min(ratios):.2f} to {max(ratios):.2f} times d_k for d_k from {found['d_k'][0]} to "
        f"{found['d_k'][-1]}; exponent {found['exponent']:.3f} ± {found['half_interval']:.3f}",
        verdict(max(abs(ratio - 1) for ratio in ratios) < 0.1),
    )


def softmax() -> Numbers:
    """By d_k, with the scale and without: entropy of the softmax, and mean and median over queries of the norm of its
    Jacobian."""

    def of(scores: jax.Array) -> dict[str, float]:
        weights = jax.nn.softmax(scores)
        entropy = -jnp.sum(jax.scipy.special.xlogy(weights, weights), axis=-1).mean() / np.log(KEYS)
        jacobian = jax.vmap(jnp.diag)(weights) - weights[:, :, None] * weights[:, None, :]
        norm = jnp.sqrt((jacobian**2).sum((1, 2)))
        return {"entropy": float(entropy), "gradient": float(norm.mean()), "median": float(jnp.median(norm))}

    found: dict[str, list[dict[str, float]]] = {"without": [], "with": []}
    for size in SIZES:
        scores = _products(size)
        found["without"].append(of(scores))
        found["with"].append(of(scores * size**-0.5))
    return {"d_k": list(SIZES), **found}


def judge_softmax(found: Numbers) -> Found:
    """Without the scale the softmax saturates and most of its gradients vanish; with it, neither depends on d_k."""
    lost, kept = ({key: [entry[key] for entry in found[how]] for key in found[how][0]} for how in ("without", "with"))
    saturates = lost["entropy"][-1] < 0.1 < 0.5 * min(kept["entropy"])
    vanishes = lost["median"][-1] < EXTREMELY * kept["median"][-1]
    norms = [lost[key][i] for key in ("median", "gradient") for i in (0, -1)]
    return Found(
        f"d_k {found['d_k'][0]} to {found['d_k'][-1]}, without the scale: entropy of the softmax "
        f"{lost['entropy'][0]:.2f} to {lost['entropy'][-1]:.2f} of its maximum, norm of its Jacobian {norms[0]:.2g} to "
        f"{norms[1]:.2g} for half of the queries, {norms[2]:.2g} to {norms[3]:.2g} in the mean; with it entropy "
        f"{min(kept['entropy']):.2f} to {max(kept['entropy']):.2f}, norm {min(kept['median']):.2g} to "
        f"{max(kept['median']):.2g} for half of them",
        verdict(
            saturates and vanishes and max(kept["median"]) < 1.2 * min(kept["median"]),
            lost["entropy"][-1] < lost["entropy"][0] and lost["median"][-1] < lost["median"][0],
        ),
        "few queries whose largest scores are nearly equal keep the mean up",
    )


def heads() -> Numbers:
    """Parameters and FLOPs of one layer of attention by its heads, of one width."""
    x = jax.ShapeDtypeStruct((1, 128, 512), jnp.float32)
    counts = {}
    for number in (1, 2, 4, 8, 16, 32):
        layer = attention.MultiHeadAttention(512, number)
        params = _params(layer, x, train=False)
        cost = flops.forward(partial(layer.apply, train=False), params, x)
        counts[str(number)] = [_size(params), cost]
    return {"parameters and FLOPs by heads": counts}


def judge_heads(found: Numbers) -> Found:
    """Both are the same for any number."""
    counts = found["parameters and FLOPs by heads"]
    same = len({tuple(pair) for pair in counts.values()}) == 1
    parameters, cost = next(iter(counts.values()))
    return Found(
        f"width 512, 128 tokens, {', '.join(counts)} heads: {parameters:,} parameters and {cost / 1e6:,.1f} MFLOP"
        + (" each" if same else " and others"),
        verdict(same),
    )


def rotation() -> Numbers:
    """How far PE(p + k) is from R(k) PE(p), R(k) a rotation by k / 10000^(2i/d) in each pair of components."""
    width, places, shifts = WIDTH, PLACES, (1, 2, 7, 31, 100)
    table = positions.sinusoid_1d(places + max(shifts), width).astype(np.float64)
    rates = 10_000.0 ** (-np.arange(0, width, 2) / width)
    pairs = table.reshape(-1, width // 2, 2)
    worst = 0.0
    for shift in shifts:
        sine, cosine = np.sin(shift * rates), np.cos(shift * rates)
        turned = np.stack(
            [
                pairs[:places, :, 0] * cosine + pairs[:places, :, 1] * sine,
                pairs[:places, :, 1] * cosine - pairs[:places, :, 0] * sine,
            ],
            axis=-1,
        )
        worst = max(worst, float(np.abs(turned - pairs[shift : shift + places]).max()))
    return {"largest difference": worst, "shifts": list(shifts), "places": places, "width": width}


def judge_rotation(found: Numbers) -> Found:
    """Exact but for float32."""
    return Found(
        f"largest difference {found['largest difference']:.1e} over {found['places']} places and shifts of "
        f"{', '.join(map(str, found['shifts']))}, d = {found['width']} (float32)",
        verdict(found["largest difference"] < 1e-5),
    )


def complexity() -> Numbers:
    """FLOPs of one layer by n, of self-attention without its projections and of recurrent cells; d = 512."""
    width = 512
    found: dict[str, list[int]] = {"attention": [], "rnn": [], "lstm": [], "gru": []}
    for length in LENGTHS:
        heads = jax.ShapeDtypeStruct((1, length, 8, width // 8), jnp.float32)
        found["attention"].append(flops.forward(lambda q: kernels.plain(q, q, q), heads))
        x = jax.ShapeDtypeStruct((1, length, width), jnp.float32)
        for kind in CELLS:
            layer = _Recurrence(kind, width)
            found[kind].append(flops.forward(layer.apply, _params(layer, x), x))
    return {"n": list(LENGTHS), "d": width, "FLOPs": found}


def judge_complexity(found: Numbers) -> Found:
    """n² d against n d²: exponents 2 and 1, and attention is the cheaper while n < d."""
    n, cost = np.array(found["n"]), found["FLOPs"]
    growth = {name: fits.exponent(n, np.array(values)) for name, values in cost.items()}
    slopes = {name: fit.slope for name, fit in growth.items() if fit}
    right = abs(slopes["attention"] - 2) < 0.01 and all(abs(slopes[name] - 1) < 0.01 for name in CELLS)
    cheaper = [length for i, length in enumerate(found["n"]) if cost["attention"][i] < cost["rnn"][i]]
    return Found(
        f"FLOPs grow by n to the {slopes['attention']:.2f} for attention without its projections, to the "
        f"{', '.join(f'{slopes[name]:.2f} ({name.upper()})' for name in CELLS)}; d = {found['d']}: attention is "
        f"cheaper than an RNN's layer at n = {', '.join(map(str, cheaper))} of {', '.join(map(str, found['n']))}",
        verdict(right and cheaper == [length for length in found["n"] if length < found["d"]], right),
    )


def sequential() -> Numbers:
    """The longest chain of steps that wait for one another, in the programs of a layer; and parameters, by n."""
    width, lengths = 64, (16, 64, 256)
    layers = {"attention": attention.MultiHeadAttention(width, 4)} | {k: _Recurrence(k, width) for k in CELLS}
    found: dict[str, dict[str, list[int]]] = {name: {"chain": [], "parameters": []} for name in layers}
    for length in lengths:
        x = jax.ShapeDtypeStruct((1, length, width), jnp.float32)
        for name, layer in layers.items():
            # Any: a keyword of the layer's own, which `apply` has no type for.
            options: dict[str, Any] = {"train": False} if name == "attention" else {}
            params = _params(layer, x, **options)
            found[name]["chain"].append(_chain(jax.make_jaxpr(partial(layer.apply, **options))(params, x)))
            found[name]["parameters"].append(_size(params))
    return {"n": list(lengths), "layers": found}


def judge_sequential(found: Numbers) -> Found:
    """A recurrence takes n steps in a row, attention one."""
    chains = {name: layer["chain"] for name, layer in found["layers"].items()}
    recurrent = all(chains[kind] == found["n"] for kind in CELLS)
    return Found(
        f"steps in a row at n = {', '.join(map(str, found['n']))}: RNN, LSTM, GRU "
        f"{', '.join(map(str, chains['rnn']))}; attention {', '.join(map(str, chains['attention']))}",
        verdict(recurrent and set(chains["attention"]) == {1}),
    )


def judge_shared(found: Numbers) -> Found:
    """As many parameters at any length."""
    counts = {name: layer["parameters"] for name, layer in found["layers"].items()}
    return Found(
        f"parameters at n = {', '.join(map(str, found['n']))}, width 64: "
        + "; ".join(f"{name} {', '.join(f'{c:,}' for c in dict.fromkeys(values))}" for name, values in counts.items()),
        verdict(all(len(set(values)) == 1 for values in counts.values())),
        "attention shares its parameters over positions as well",
    )


def _params(layer: nn.Module, x: jax.ShapeDtypeStruct, **options: Any) -> PyTree:
    """The shapes of a layer's parameters. options: of its call, whatever it takes."""
    variables = jax.eval_shape(partial(layer.init, **options), jax.random.key(0), x)
    return {"params": variables["params"]}


def _size(params: PyTree) -> int:
    """How many numbers there are."""
    return sum(leaf.size for leaf in jax.tree.leaves(params))


def _chain(program: jax.extend.core.ClosedJaxpr) -> int:
    """Turns of the longest loop of a program; 1 without loops."""
    longest = 1
    for equation in program.jaxpr.eqns:
        inner = [p for p in equation.params.values() if hasattr(p, "jaxpr")]
        turns = equation.params["length"] if equation.primitive.name == "scan" else 1
        longest = max([longest, *(turns * _chain(p) for p in inner)])
    return longest


class _Recurrence(nn.Module):
    """A layer of cells."""

    kind: cells.Cell
    width: int

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        lengths = jnp.full(x.shape[0], x.shape[1])
        return cells.read(self.kind, self.width, jnp.float32, x, lengths, layer=0, bidirectional=False)[0]


PAPER = "1706.03762"
CLAIMS = (
    Claim(
        "products_grow",
        "The dot product of random queries and keys has variance d_k.",
        f"{PAPER}, footnote 4",
        "d_k",
        Computed(products, judge_products),
    ),
    Claim(
        "scale",
        "Without division by √d_k the softmax of large heads saturates, and its gradients are extremely small.",
        f"{PAPER}, section 3.2.1",
        "",
        Computed(softmax, judge_softmax),
    ),
    Claim(
        "heads_cost",
        "Many heads cost as much as one of full width.",
        f"{PAPER}, section 3.2.2",
        "similar",
        Computed(heads, judge_heads),
    ),
    Claim(
        "sinusoids_rotate",
        "PE(p + k) is a linear function of PE(p), for any fixed k.",
        f"{PAPER}, section 3.5",
        "",
        Computed(rotation, judge_rotation, lambda: sinusoids.draw(sinusoids.positions(PLACES, WIDTH))),
    ),
    Claim(
        "complexity",
        "A layer of self-attention costs n²d, a recurrent one nd²: attention is the cheaper while n < d.",
        f"{PAPER}, table 1",
        "n²d; nd²",
        Computed(complexity, judge_complexity),
    ),
    Claim(
        "sequential",
        "A recurrence has n sequential operations, self-attention one.",
        f"{PAPER}, table 1",
        "n; 1",
        Computed(sequential, judge_sequential),
    ),
    Claim(
        "shared_parameters",
        "A recurrence shares its parameters over time: the count does not depend on the length.",
        "usual explanation",
        "",
        Computed(sequential, judge_shared),
    ),
)
