"""Which way of computing attention is taken where."""

from types import SimpleNamespace

import jax
import jax.numpy as jnp
import pytest

from errors import UserError
from models import kernel_choice
from models.attention import MultiHeadAttention
from models.kernel_choice import UNCOMPILED, Case, choice, compiled_for
from models.masks import causal_mask

SHORT = Case(64, 197, 197, 12, 64, 64, "bfloat16")
LONG = SHORT._replace(queries=4096, keys=4096)

TABLE = [
    ("cpu", SHORT, "plain"),
    ("cpu", LONG, "blockwise"),
    ("cpu", LONG._replace(dropout=0.1, bias=True, masked=True, mask_of_keys=False), "blockwise"),
    ("cpu", LONG._replace(queries=1), "blockwise"),
    ("cuda", SHORT, "cudnn"),
    ("cuda", LONG._replace(causal=True), "cudnn"),
    ("cuda", SHORT._replace(dtype="float32"), "plain"),
    ("cuda", LONG._replace(dtype="float32"), "blockwise"),
    ("cuda", SHORT._replace(masked=True), "cudnn"),
    ("cuda", LONG._replace(masked=True), "blockwise"),
    ("cuda", LONG._replace(head_dim=36, value_dim=36), "blockwise"),
    ("cuda", LONG._replace(value_dim=32), "blockwise"),
    ("cuda", LONG._replace(dropout=0.1), "blockwise"),
    ("cuda", LONG._replace(cap=50.0), "blockwise"),
    ("cuda", LONG._replace(bias=True), "blockwise"),
    ("cuda", LONG._replace(bias=True, batch=1), "cudnn"),
    ("tpu", SHORT, "plain"),
    ("tpu", LONG, "splash"),
    ("tpu", LONG._replace(masked=True, causal=True, dtype="float32"), "splash"),
    ("tpu", LONG._replace(masked=True, mask_of_keys=False), "blockwise"),
    ("tpu", LONG._replace(cap=50.0), "splash"),
    ("tpu", LONG._replace(dropout=0.1), "blockwise"),
    ("tpu", LONG._replace(bias=True), "blockwise"),
    ("elsewhere", LONG, "plain"),
    (UNCOMPILED, LONG, "plain"),
]


@pytest.mark.parametrize(("platform", "case", "path"), TABLE)
def test_the_quickest_way_that_can_is_taken(platform, case, path):
    assert choice("auto", case, platform).path == path


def test_a_mesh_of_several_tpus_does_not_take_a_kernel_that_it_cannot_split():
    assert choice("auto", LONG, "tpu", devices=4).path == "blockwise"


def test_a_way_is_forced_and_xla_is_plain_as_in_older_records():
    for kernel, path in {"plain": "plain", "blockwise": "blockwise", "xla": "plain"}.items():
        assert choice(kernel, LONG, "cpu").path == path
        assert choice(kernel, SHORT, "tpu").path == path
    assert choice("cudnn", SHORT, "cuda").path == "cudnn"
    assert choice("splash", SHORT, "tpu").path == "splash"


@pytest.mark.parametrize(
    ("kernel", "platform", "case", "reason"),
    [
        ("cudnn", "cpu", SHORT, "it runs on NVIDIA's GPUs, and this is for cpu"),
        ("cudnn", "cuda", SHORT._replace(dtype="float32"), "not float32"),
        ("cudnn", "cuda", SHORT._replace(dropout=0.1), "it has no dropout"),
        ("cudnn", "cuda", SHORT._replace(cap=50.0), "soft cap 50: it has no soft cap of scores"),
        ("cudnn", "cuda", SHORT._replace(masked=True, keys=2048), "it needs the whole mask of each head"),
        ("splash", "cuda", SHORT, "it runs on TPUs, and this is for cuda"),
        ("splash", "tpu", SHORT._replace(dropout=0.1), "it has no dropout"),
        ("splash", "tpu", SHORT._replace(bias=True), "it has no relative positions"),
    ],
)
def test_a_forced_way_that_cannot_is_one_line(kernel, platform, case, reason):
    with pytest.raises(UserError, match=reason) as error:
        choice(kernel, case, platform)
    assert f"config.model.kernel={kernel}" in str(error.value)
    assert "Take config.model.kernel=auto." in str(error.value)
    assert "\n" not in str(error.value)


def test_a_program_takes_the_way_of_the_platform_that_it_is_compiled_for():
    model = MultiHeadAttention(16, 2, dropout=0.1, dtype=jnp.bfloat16)
    x = jax.ShapeDtypeStruct((2, 2048, 16), jnp.float32)
    variables = jax.eval_shape(lambda x: model.init(jax.random.key(0), x, train=False), x)

    def lines(train):
        with compiled_for("tpu") as target:
            rngs = {"dropout": jax.random.key(0)}
            jax.eval_shape(lambda v, x: model.apply(v, x, mask=causal_mask(), train=train, rngs=rngs), variables, x)
        return target.describe()

    case = "Attention of 2,048 x 2,048 tokens, head size 8, bfloat16, causal"
    assert lines(False) == [f"{case}: splash (the quickest on tpu)."]
    assert lines(True) == [f"{case}, dropout 0.1: blockwise (not splash: it has no dropout of attention weights)."]


def test_a_machine_without_cudnn_takes_the_next():
    absent = {"cudnn": "cuDNN is not detected"}
    assert choice("auto", SHORT, "cuda", absent=absent) == (
        "plain",
        "not cudnn: cuDNN is not detected; blockwise from 2,048 keys on",
    )
    with pytest.raises(UserError, match="cuDNN is not detected"):
        choice("cudnn", SHORT, "cuda", absent=absent)


@pytest.mark.parametrize(("capability", "chosen"), [("7.5", "plain"), ("8.0", "cudnn"), ("10.0", "cudnn")])
def test_a_gpu_older_than_ampere_takes_the_next(capability, chosen, monkeypatch):
    monkeypatch.setattr(jax.nn, "dot_product_attention", lambda query, *_, **__: query)  # cuDNN is there
    monkeypatch.setattr(jax, "local_devices", lambda: [SimpleNamespace(platform="gpu", compute_capability=capability)])
    monkeypatch.setattr(kernel_choice, "absent_here", kernel_choice.absent_here.__wrapped__)
    with compiled_for("gpu") as target:
        assert kernel_choice.choose("auto", SHORT) == chosen
    (line,) = target.describe()
    assert ("7.5" in line) == (capability == "7.5")
