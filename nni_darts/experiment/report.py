"""Report of an experiment as one self-contained HTML page: findings and reproduction."""

from __future__ import annotations

import base64
import importlib.resources
from pathlib import Path
from typing import Any

import jinja2
import pandas as pd

from nni_darts._common.messages import printable
from nni_darts._common.redaction import redacted
from nni_darts.experiment import protocol, reproduction, results
from nni_darts.experiment.architectures import cells, ranked_architectures, trained_name
from nni_darts.experiment.ledger import Ledger
from nni_darts.experiment.nni_database import Experiment
from nni_darts.genotypes import genotype_json
from nni_darts.pictures.drawing import figure_of_cells, rendered
from nni_darts.runs import run_key
from nni_darts.tasks.components import Component
from nni_darts.tasks.settings import Settings
from nni_darts.tasks.stage import TRAININGS, Stage


def html(experiment: Experiment) -> str:
    """Page of an experiment, running or ended. Nothing on it is executed or fetched.

    Raises:
        StoredError: no run has ended yet, or it is not an experiment of ours.
    """
    settings = results.settings(experiment)
    metric = settings.task.metric
    table = results.table(experiment)
    if table.empty:
        raise results.nothing_yet(experiment)
    ledger = results.ledger(experiment)
    plan = protocol.make_plan(settings, ledger.results, ledger.failures, ledger.held)
    winner = protocol.winner(settings, ledger.results, ledger.failures)
    best = ranked_architectures(experiment)
    selected = next((f for f in best if winner and f.name == trained_name(winner)), None)
    folder = results.weights_folder(table, experiment.folder)
    runs = {*table["genotype"], *table["architecture"]}
    to_train = selected or (best[0] if best else None)
    return _template().render(
        name=printable(experiment.config().get("experimentName") or "Experiment without a name"),
        experiment=experiment,
        subject=_subject(settings),
        status=_status(plan, ledger),
        plan=plan,
        selected=selected,
        runs=_runs(table, folder),
        weights_folder=folder,
        metric=metric,
        note=results.supernet(metric) if Stage.SEARCH in set(table["stage"]) else None,
        genotypes=[f for f in best if f.name in runs or f.text in runs],
        networks={stage.value: _network(settings, stage) for stage in TRAININGS},
        counted=settings.task.counted,
        states=settings.task.states,
        file_name=reproduction.FILE,
        file=reproduction.experiment_file(experiment),
        commands=reproduction.commands(
            settings, to_train, _weights(table, to_train.name) if to_train else None
        ),
        versions=reproduction.versions(ledger.results.values()),
        seeds=reproduction.seeds(settings),
    )


def _template() -> jinja2.Template:
    environment = jinja2.Environment(
        autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=jinja2.StrictUndefined
    )
    environment.filters["cells"] = cells
    environment.filters["drawing"] = _drawing
    source = importlib.resources.files("nni_darts.experiment").joinpath("report.html.j2")
    return environment.from_string(source.read_text(encoding="utf-8"))


def _subject(settings: Settings) -> str:
    """Subject of the experiment, in a line."""
    what = "Genotypes that were given"
    if settings.space is not None:
        what = f"Search in {_named(settings.space)}"
    return f"{what}, on {_named(settings.data)}"


def _named(component: Component) -> str:
    shown = redacted(component.arguments)
    arguments = ", ".join(f"{name} {value}" for name, value in shown.items())
    return f"{component.name} ({arguments})" if arguments else component.name


def _status(plan: protocol.Plan, ledger: Ledger) -> str:
    """Progress of the protocol, in a sentence."""
    keys = [run_key.key(run) for run in plan.runs]
    ready = [run_key.key(run) for run in plan.ready]
    done = sum(key in ledger.results for key in keys)
    lost = [
        key
        for key in keys
        if key not in ledger.results and ledger.failures[key] >= protocol.ATTEMPTS
    ]
    under_way = sum(ledger.pending[key] > 0 for key in ready)
    parts = [f"{done} of {len(keys) + plan.later} runs are done"]
    if lost:
        parts.append(f"{len(lost)} failed for good ({', '.join(lost)})")
    if under_way:
        parts.append(f"{under_way} under way")
    if plan.problem is not None:
        end = f"the protocol cannot come to its end: {plan.problem}"
    else:
        end = "the protocol is over" if plan.over else "the protocol is not over"
    return f"{', '.join(parts)}; {end}."


def _runs(table: pd.DataFrame, folder: Path) -> list[dict[str, str]]:
    """Rows of the table of runs, by column."""
    text = results.readable(table, folder)
    weights = text.pop("weights")
    for name, form in (("epochs", "{:,}"), ("seconds", "{:,.1f}"), ("device", "{}")):
        text[name] = ["-" if pd.isna(value) else form.format(value) for value in table[name]]
    text["weights"] = weights
    rows = text.to_dict(orient="records")
    return [{str(name): str(value) for name, value in row.items()} for row in rows]


def _weights(table: pd.DataFrame, name: str) -> str | None:
    """Weights of a genotype's first evaluation."""
    of_it = (table["stage"] == Stage.EVALUATE.value) & (table["genotype"] == name)
    weights: list[Any] = list(table.loc[of_it, "weights"].dropna())
    return str(weights[0]) if weights else None


def _network(settings: Settings, stage: Stage) -> str:
    """Network that a stage trains, in words."""
    training = getattr(settings, stage.value)
    if training is None:
        return ""
    return str(training.network)


def _drawing(text: str) -> str | None:
    """Address of a drawing of a genotype: the source of an image, where no script can run."""
    try:
        genotype = genotype_json.parse(text)
    except ValueError:
        return None
    svg = rendered(figure_of_cells(genotype.cells), "svg")
    return f"data:image/svg+xml;base64,{base64.b64encode(svg).decode()}"
