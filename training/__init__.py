"""The gradient step and what surrounds it: devices, optimiser, checkpoints, evaluation, log."""
