"""What models learn from: sources of examples, and what is done to an image on its way to the device.

Nothing here imports jax, and nothing imports TensorFlow before a source needs it.
"""
