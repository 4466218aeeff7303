"""Does a search beat chance? The winner of an experiment against random cells.

Random cells are trained and tested as the experiment evaluated its winner, with the same seeds:

    nni-darts run experiments/darts.yml && python benchmarks/search_vs_random.py
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
from pathlib import Path

import yaml

from nni_darts.cli import main
from nni_darts.experiment import nni_database, protocol, results
from nni_darts.experiment.architectures import FoundArchitecture, ranked_architectures
from nni_darts.genotypes import genotype_json
from nni_darts.genotypes.random_cells import draw


def random_experiment(
    experiment: nni_database.Experiment, count: int, seed: int
) -> dict[str, object]:
    """An experiment file that evaluates random cells."""
    config, settings = experiment.config(), results.settings(experiment)
    if settings.evaluate is None:
        raise SystemExit(f"error: experiment {experiment.id} evaluates nothing")
    class_args = {
        "genotypes": [genotype.to_json() for genotype in draw(count, seed)],
        "data": settings.data.model_dump(mode="json"),
        "evaluate": settings.evaluate.model_dump(mode="json"),
    }
    return {
        "experimentName": f"random cells for {experiment.id}",
        "trialCommand": config["trialCommand"],
        "trialCodeDirectory": config["trialCodeDirectory"],
        "trialConcurrency": config["trialConcurrency"],
        "maxTrialNumber": count * len(settings.evaluate.seeds),
        "searchSpace": {},
        "tuner": {
            "codeDirectory": config["tuner"]["codeDirectory"],
            "className": nni_database.TUNER,
            "classArgs": class_args,
        },
        "trainingService": {"platform": "local"},
    }


def selected(experiment: nni_database.Experiment) -> FoundArchitecture:
    ledger = results.ledger(experiment)
    settings = results.settings(experiment)
    best = protocol.winner(settings, ledger.results, ledger.failures)
    for candidate in ranked_architectures(experiment):
        if best is not None and candidate.name == genotype_json.digest(best) and candidate.tests:
            return candidate
    raise SystemExit(f"error: experiment {experiment.id} has not evaluated its winner yet")


def compare(winner: FoundArchitecture, cells: list[FoundArchitecture]) -> str:
    """Means over the seeds; the spread is the standard deviation over the random cells."""
    ours = 100 * statistics.fmean(winner.tests)
    means = [100 * statistics.fmean(cell.tests) for cell in cells]
    spread, better = statistics.stdev(means), sum(mean > ours for mean in means)
    return (
        f"winner {winner.name}: {winner.tested}\n"
        f"{len(means)} random cells: mean {statistics.fmean(means):.2f}, standard deviation over "
        f"the cells {spread:.2f}, worst {min(means):.2f}, best {max(means):.2f} (%)\n"
        f"difference of the means {ours - statistics.fmean(means):+.2f} points, "
        f"{(ours - statistics.fmean(means)) / spread:+.1f} standard deviations of a random cell; "
        f"{better} of {len(means)} random cells are better"
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("experiment", nargs="?", help="the latest of ours by default")
    parser.add_argument("--n", type=int, default=10)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    searched = nni_database.require_experiment(options.experiment)
    best = selected(searched)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "random.yml"
        path.write_text(yaml.safe_dump(random_experiment(searched, options.n, options.seed)))
        if status := main.main(["run", str(path)]):
            sys.exit(status)
    print(compare(best, ranked_architectures(nni_database.require_experiment(None))))
