"""Vision Transformers of flax.nnx, by the names of public ones: their checkpoints are read without their code."""

import itertools
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import orbax.checkpoint as ocp
import pytest
from flax import nnx

import models
import weights
from errors import UserError
from weights import files, our_vit, schemes

WIDTH, MLP, HEADS, DEPTH, PATCH, SIDE, CLASSES = 8, 12, 2, 2, 4, 12, 3


class Stack(nnx.Module):
    """By the names of the JAX AI Stack's tutorial."""

    class Block(nnx.Module):
        def __init__(self, rngs: nnx.Rngs):
            self.norm1, self.norm2 = (nnx.LayerNorm(WIDTH, rngs=rngs) for _ in range(2))
            self.attn = nnx.MultiHeadAttention(HEADS, WIDTH, dropout_rate=0.1, decode=False, rngs=rngs)
            up, down = nnx.Linear(WIDTH, MLP, rngs=rngs), nnx.Linear(MLP, WIDTH, rngs=rngs)
            self.mlp = nnx.Sequential(up, nnx.gelu, nnx.Dropout(0.1, rngs=rngs), down)

        def __call__(self, x: jax.Array) -> jax.Array:
            x = x + self.attn(self.norm1(x))
            return x + self.mlp(self.norm2(x))

    def __init__(self, rngs: nnx.Rngs):
        self.patch_embeddings = nnx.Conv(3, WIDTH, (PATCH, PATCH), strides=(PATCH, PATCH), padding="VALID", rngs=rngs)
        self.cls_token = nnx.Param(jnp.zeros((1, 1, WIDTH)))
        self.position_embeddings = nnx.Param(jnp.zeros((1, (SIDE // PATCH) ** 2 + 1, WIDTH)))
        self.encoder = nnx.Sequential(*(self.Block(rngs) for _ in range(DEPTH)))
        self.final_norm, self.classifier = nnx.LayerNorm(WIDTH, rngs=rngs), nnx.Linear(WIDTH, CLASSES, rngs=rngs)

    def __call__(self, image: jax.Array) -> jax.Array:
        patches = self.patch_embeddings(image).reshape(len(image), -1, WIDTH)
        token = jnp.tile(self.cls_token[...], (len(image), 1, 1))
        x = jnp.concatenate([token, patches], axis=1) + self.position_embeddings[...]
        return self.classifier(self.final_norm(self.encoder(x))[:, 0])


class Bonsai(nnx.Module):
    """By bonsai's names."""

    class Embeddings(nnx.Module):
        def __init__(self, rngs: nnx.Rngs):
            self.projection = nnx.Conv(3, WIDTH, (PATCH, PATCH), strides=(PATCH, PATCH), rngs=rngs)
            self.cls_token = nnx.Param(jnp.zeros((1, 1, WIDTH)))
            self.pos_embeddings = nnx.Param(jnp.zeros((1, (SIDE // PATCH) ** 2 + 1, WIDTH)))

    class Block(nnx.Module):
        def __init__(self, rngs: nnx.Rngs):
            norms = (nnx.LayerNorm(WIDTH, epsilon=1e-12, rngs=rngs) for _ in range(2))
            self.layernorm_before, self.layernorm_after = norms
            self.attention = nnx.MultiHeadAttention(HEADS, WIDTH, decode=False, rngs=rngs)
            self.linear1, self.linear2 = nnx.Linear(WIDTH, MLP, rngs=rngs), nnx.Linear(MLP, WIDTH, rngs=rngs)

        def __call__(self, x: jax.Array) -> jax.Array:
            x = x + self.attention(self.layernorm_before(x))
            return x + self.linear2(jax.nn.gelu(self.linear1(self.layernorm_after(x))))

    def __init__(self, rngs: nnx.Rngs):
        self.pos_embeddings = self.Embeddings(rngs)
        self.layers = nnx.List([self.Block(rngs) for _ in range(DEPTH)])
        self.ln = nnx.LayerNorm(WIDTH, epsilon=1e-12, rngs=rngs)
        self.classifier = nnx.Linear(WIDTH, CLASSES, rngs=rngs)

    def __call__(self, image: jax.Array) -> jax.Array:
        first = self.pos_embeddings
        patches = first.projection(image).reshape(len(image), -1, WIDTH)
        token = jnp.tile(first.cls_token[...], (len(image), 1, 1))
        x = jnp.concatenate([token, patches], axis=1) + first.pos_embeddings[...]
        for layer in self.layers:
            x = layer(x)
        return self.classifier(self.ln(x)[:, 0])


def drawn(kind: type[nnx.Module]) -> nnx.Module:
    """A model whose parameters are all drawn, so that none is left out unseen."""
    model, draw = kind(nnx.Rngs(0)), np.random.default_rng(0)
    state = nnx.state(model, nnx.Param)
    nnx.update(model, jax.tree.map(lambda x: jnp.asarray(draw.normal(0, 0.5, x.shape), jnp.float32), state))
    model.eval()
    return model


def saved(model: nnx.Module, folder: Path, state: object) -> Path:
    """A checkpoint as its authors write it."""
    with ocp.StandardCheckpointer() as checkpointer:
        checkpointer.save(folder.absolute(), state)
    return folder


@pytest.mark.parametrize("kind", [Stack, Bonsai])
def test_a_checkpoint_of_nnx_computes_the_same(kind, tmp_path):
    """Of all the state, random keys among it, within a step's folder; and of pure arrays."""
    theirs = drawn(kind)
    step = saved(theirs, tmp_path / "step" / "default", nnx.state(theirs)).parent
    pure = saved(theirs, tmp_path / "pure", nnx.to_pure_dict(nnx.state(theirs, nnx.Param)))
    assert weights.is_published(step)
    assert schemes.family(pure) is our_vit.FAMILY
    found, again = weights.read(step), weights.read(pure)
    assert jax.tree.all(jax.tree.map(np.array_equal, found.params, again.params))
    assert (found.scheme, found.classes, found.image_size, found.left_out) == ("nnx", CLASSES, SIDE, {})
    ours = models.build(outputs=CLASSES, **found.model)
    image = np.random.default_rng(1).normal(size=(2, SIDE, SIDE, 3)).astype(np.float32)
    logits = ours.apply({"params": found.params}, image, train=False)
    np.testing.assert_allclose(logits, theirs(image), atol=1e-5)


def test_a_file_with_names_of_nnx_is_read_as_well(tmp_path):
    arrays = dict(nnx.to_flat_state(nnx.state(drawn(Bonsai), nnx.Param)))
    named = {".".join(map(str, path)): np.asarray(leaf[...]) for path, leaf in arrays.items()}
    files.write(tmp_path / "vit.safetensors", named, {})
    found = weights.read(tmp_path / "vit.safetensors")
    kept = found.params["encoder"]["block_01"]["attention"]["out"]["kernel"]
    np.testing.assert_array_equal(kept, named["layers.1.attention.out.kernel"])


def test_a_damaged_or_unknown_checkpoint_is_one_line(tmp_path):
    theirs = {"encoder": {"weight": np.ones(3, np.float32)}}
    unknown = saved(None, tmp_path / "unknown", theirs)
    with pytest.raises(UserError, match=r"has names of no scheme that is known .*nnx.*: its first is 'encoder.weight'"):
        weights.read(unknown)
    for file in itertools.chain(unknown.glob("d/*"), unknown.glob("ocdbt.process_0/d/*")):
        file.unlink()
    with pytest.raises(UserError, match=r"cannot read the checkpoint .*unknown") as error:
        weights.read(unknown)
    assert "\n" not in str(error.value)
