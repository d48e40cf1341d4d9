"""GB that a training step needs besides its arguments: a GPT of 4 layers of width 256, 8 heads, one row of `length`
tokens of 256, float32."""

import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
from contestants import here

Work = Callable[[], float]
WIDTH, DEPTH, HEADS, VOCABULARY = 256, 4, 8, 256


def ours(length: int) -> Work:
    """This code: the temporaries of the compiled step of a run."""
    changes = {
        "model.width": WIDTH,
        "model.depth": DEPTH,
        "model.heads": HEADS,
        "model.max_length": length,
        "data.length": length,
        "data.batch_size": 1,
        "data.vocabulary_size": VOCABULARY,
        "data.document_mask": False,
        "parallel.mode": "mesh",
    }
    run = here.run("configs/gpt_python.py", changes, read=False)
    import jax

    batch = {name: jax.ShapeDtypeStruct(*of) for name, of in run.pipeline.shapes[0][1].items()}

    def work() -> float:
        program = run.train_step.trace(run.abstract_state, run.devices.lay_out_batch(batch)).lower().compile()
        return program.memory_analysis().temp_size_in_bytes / 1e9

    return work


def torch(length: int) -> Work:
    """PyTorch with its scaled_dot_product_attention: how much larger the process becomes during a step."""
    library = here.package("torch")
    nn, functional = library.nn, library.nn.functional

    class Block(nn.Module):  # type: ignore[name-defined]
        def __init__(self) -> None:
            super().__init__()
            self.norms = nn.ModuleList([nn.LayerNorm(WIDTH), nn.LayerNorm(WIDTH)])
            self.qkv, self.out = nn.Linear(WIDTH, 3 * WIDTH), nn.Linear(WIDTH, WIDTH)
            self.mlp = nn.Sequential(nn.Linear(WIDTH, 4 * WIDTH), nn.GELU(), nn.Linear(4 * WIDTH, WIDTH))

        def forward(self, x: here.Theirs) -> here.Theirs:
            query, key, value = self.qkv(self.norms[0](x)).view(1, length, 3, HEADS, -1).permute(2, 0, 3, 1, 4)
            mixed = functional.scaled_dot_product_attention(query, key, value, is_causal=True)
            x = x + self.out(mixed.transpose(1, 2).flatten(2))
            return x + self.mlp(self.norms[1](x))

    layers = [nn.Embedding(VOCABULARY, WIDTH), *(Block() for _ in range(DEPTH)), nn.LayerNorm(WIDTH)]
    model = nn.Sequential(*layers, nn.Linear(WIDTH, VOCABULARY))
    optimiser = library.optim.AdamW(model.parameters())
    tokens = library.from_numpy(np.random.default_rng(0).integers(0, VOCABULARY, (2, length)))

    def step() -> None:
        optimiser.zero_grad(set_to_none=True)
        functional.cross_entropy(model(tokens[:1])[0], tokens[1]).backward()
        optimiser.step()

    def work() -> float:
        optimiser.zero_grad(set_to_none=True)
        Path("/proc/self/clear_refs").write_text("5")  # forgets the peak
        before = status("VmRSS")
        step()
        return (status("VmHWM") - before) / 1e9

    return work


def status(name: str) -> int:
    """Bytes of this process's memory, by the system's name."""
    found = re.search(rf"{name}:\s+(\d+) kB", Path("/proc/self/status").read_text())
    assert found
    return 1024 * int(found[1])
