import tensorflow as tf


def apply(image, seed, layers, magnitude):
    return image
