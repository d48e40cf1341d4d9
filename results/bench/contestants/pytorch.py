"""A training step of a PyTorch model with AdamW, on the GPU if there is one."""

from collections.abc import Callable

from contestants import here


def device() -> str:
    """Where it runs."""
    return "cuda" if here.package("torch").cuda.is_available() else "cpu"


def training(
    model: here.Theirs,
    loss: Callable[..., here.Theirs],
    batch: tuple[here.Theirs, ...],
    units: int,
    *,
    compiled: bool,
    clip_norm: float = 0.0,
    dtype: str = "float32",
    steps: int = 1,
) -> here.Measured:
    """What takes `steps` steps and returns their units, such as images.

    Args:
      loss: (model, *batch) -> the mean loss.
      batch: NumPy arrays.
      units: of a batch.
      compiled: by torch.compile.
      clip_norm: of all gradients together; 0 does not clip.
      dtype: of matrix products, "bfloat16" by autocast.
    """
    torch, where = here.package("torch"), device()
    torch.set_float32_matmul_precision("high")
    model = model.to(where).train()
    tensors = [torch.from_numpy(x).to(where) for x in batch]
    optimiser = torch.optim.AdamW(model.parameters(), lr=1e-4, weight_decay=0.1, fused=True)

    def forward(*tensors: here.Theirs) -> here.Theirs:
        with torch.autocast(where, torch.bfloat16, enabled=dtype == "bfloat16"):
            return loss(model, *tensors)

    step = torch.compile(forward) if compiled else forward

    def work() -> float:
        for _ in range(steps):
            optimiser.zero_grad(set_to_none=True)
            value = step(*tensors)
            value.backward()
            if clip_norm:
                torch.nn.utils.clip_grad_norm_(model.parameters(), clip_norm)
            optimiser.step()
        value.item()  # waits
        return steps * units

    def facts() -> here.Settings:
        return {"GB": round(torch.cuda.max_memory_allocated() / 1e9, 1)} if where == "cuda" else {}

    return here.Measured(work, facts)
