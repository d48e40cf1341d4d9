"""Analysis of trained models and of studies, as arrays and pictures.

`figures/` has one file a figure of a model, drawn by visualize.py. `studies/` has one file a figure of a study's
report; `table.py`, `fits.py` and `report.py` make the table, the fits and the report.
"""
