"""What trained models have learned, as arrays and pictures: figures/ has one file a figure, drawn by visualize.py."""
