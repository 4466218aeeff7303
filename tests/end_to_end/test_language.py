"""The way of a user who searches a recurrent cell, with NNI's manager and real trials."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import torch
import yaml
from live import ROOT, Shell, free_port

from nni_darts import load
from search_spaces import DartsRNNNetwork

pytestmark = [pytest.mark.slow, pytest.mark.manager]


def test_the_shipped_experiment_on_text_made_tiny(home: Path, tmp_path: Path) -> None:
    values = yaml.safe_load((ROOT / "experiments/darts_rnn.yml").read_text())
    values["trialCodeDirectory"] = values["tuner"]["codeDirectory"] = str(ROOT)
    values["assessor"]["codeDirectory"] = str(ROOT)
    values["maxTrialNumber"] = 2 + 2 + 1
    settings = values["tuner"]["classArgs"]
    settings["space"] |= {"embedding": 16, "hidden": 16, "num_nodes": 3}
    settings["search"] |= {"epochs": 2, "batch_size": 64}
    small = {"embedding": 16, "hidden": 16, "epochs": 2, "batch_size": 64}
    settings["select"] |= small
    settings["evaluate"] |= {**small, "seeds": [0], "epochs": 3}
    path = tmp_path / "tiny.yml"
    path.write_text(yaml.safe_dump(values))

    run = Shell(home)
    created = run("nnictl", "create", "--config", str(path), "--foreground", "--port", free_port())
    assert created.returncode == 0, created.stdout + created.stderr
    results = {str(t.key): t.result or {} for t in run.experiment.trials()}
    assert sorted(result["stage"] for result in results.values()) == [
        *["evaluate"], *["search"] * 2, *["select"] * 2
    ]  # fmt: skip
    (winner,) = (result for result in results.values() if result["stage"] == "evaluate")
    selected = [result for result in results.values() if result["stage"] == "select"]
    best = min(selected, key=lambda result: float(result["val_ppl"]))
    assert json.loads(winner["genotype"]) == json.loads(best["genotype"])
    # The table, on the user's screen: perplexities, no percentages.
    assert re.search(
        r"^stage +seed +genotype +params +val_ppl +test_ppl +weights$", created.stdout, re.M
    )
    assert f"{winner['test_ppl']:.2f}" in created.stdout
    network = load(winner["weights"])
    assert isinstance(network, DartsRNNNetwork)
    state = network.initial_state(2)
    assert network(torch.zeros(5, 2, dtype=torch.int64), state).logits.shape == (5, 2, 1332)

    exported = run("nni-darts", "export", "--top-k", "1")
    assert "val ppl  test ppl" in exported.stdout
    assert "recurrent 1: " in exported.stdout
    report = run("nni-darts", "report", "-o", "report.html")
    assert report.returncode == 0, report.stderr
    assert "test perplexity" in (home / "report.html").read_text()
    for command in (["plot", "search-0", "-o", "a.png"], ["animate", "search-0", "-o", "a.gif"]):
        done = run("nni-darts", *command)
        assert done.returncode == 0, done.stderr
    evaluated = run("nni-darts", "evaluate", str(winner["weights"]), "--data", "alice")
    assert f"test perplexity {winner['test_ppl']:.2f}" in evaluated.stdout
    page = run.experiment.folder / "log/alphas/search-0.json"
    first = json.loads(page.read_text())
    assert first["cells"][0]["kind"] == "recurrent"
    place = first["figures"].index("val_ppl")
    assert all(epoch[1][place] > 1 for epoch in first["epochs"])
