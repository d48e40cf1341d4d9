"""TFDS builders of our own, found by file name: config.data.name="digits" is data/builders/digits.py."""
