"""A page of a run or of a study: one HTML file that opens from a disk, without a network.

`run.py` puts a run's page together, `study.py` a study's, from what the other files find; `html.py` writes elements
and the file. assets/ has the template, the style and the JavaScript, which are written into the file. The page runs no
other script: a policy in it names the script by its digest.
"""
