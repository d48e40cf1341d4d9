def apply(image, seed, layers, magnitude):
    return image
