"""The notebooks run from their first cell to the last, on runs of tiny models, and are kept without their output."""

import json
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / "notebooks"
RUNS = {
    "images": {"vit_digits": "vit"},
    "text": {"transformer_dates": "transformer", "gpt_python": "gpt"},
}


def test_every_notebook_is_here():
    assert sorted(path.stem for path in FOLDER.glob("*.ipynb")) == sorted(RUNS)


@pytest.mark.parametrize("name", RUNS)
def test_a_notebook_is_kept_without_its_output(name):
    cells = json.loads((FOLDER / f"{name}.ipynb").read_text())["cells"]
    code = [cell for cell in cells if cell["cell_type"] == "code"]
    assert len(code) > 4
    assert not [cell for cell in code if cell["outputs"] or cell["execution_count"]]


@pytest.mark.filterwarnings("ignore")  # of the libraries of notebooks
@pytest.mark.parametrize("name", RUNS)
def test_a_notebook_runs(name, tmp_path, monkeypatch, untrained):
    nbclient = pytest.importorskip("nbclient", reason="it is not installed: pip install -r requirements-dev.txt")
    pytest.importorskip("ipykernel", reason="it is not installed: pip install -r requirements-dev.txt")
    import nbformat

    (tmp_path / "runs").mkdir()
    for workdir, family in RUNS[name].items():
        (tmp_path / "runs" / workdir).symlink_to(untrained(family))
    (tmp_path / "notebooks").mkdir()
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("MPLBACKEND", "agg")
    monkeypatch.setenv("PYTHONWARNINGS", "ignore::UserWarning")  # so small a GPT writes beyond its trained length
    notebook = nbformat.read(FOLDER / f"{name}.ipynb", as_version=4)
    place = {"metadata": {"path": str(tmp_path / "notebooks")}}
    nbclient.NotebookClient(notebook, timeout=300, kernel_name="python3", resources=place).execute()
    outputs = [output for cell in notebook.cells if cell.cell_type == "code" for output in cell.outputs]
    assert not [output for output in outputs if output.get("name") == "stderr"]
    assert [output for output in outputs if output.output_type == "execute_result"]
