"""One file a figure: `python visualize.py --workdir=RUN rollout` draws analysis/figures/rollout.py.

Nothing is registered: a figure is a module that defines these three functions. A file put beside the others is found.

    def lacks(subject: Subject) -> str
        Why the figure cannot be drawn of this run, as the end of "...: ", or "" if it can. It looks at the run's config
        and at shapes, so that it costs nothing: no weights, no data.

    def arrays(subject: Subject) -> dict[str, np.ndarray]
        What is drawn. The mathematics is in functions of NumPy arrays beside it, which tests compare with naive ones.
        The command saves the arrays as NAME.npz and prints those that are a single number.

    def draw(arrays: dict[str, np.ndarray]) -> matplotlib.figure.Figure
        The picture of those arrays and nothing else, so that it can be drawn again from NAME.npz.

The docstring of a module says what the figure shows, and which paper's figure it follows. analysis/subject.py
has what a figure may look at, analysis/attention.py the attention of a forward pass, analysis/picture.py what pictures
share.
"""
