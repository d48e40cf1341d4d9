"""What trained models have learned, as arrays and pictures: figures/ has one file a figure, drawn by visualize.py;
and what studies came to: a table, fits and a report, whose figures are in studies/."""
