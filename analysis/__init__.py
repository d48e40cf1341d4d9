"""What trained models have learned, as arrays and pictures."""
