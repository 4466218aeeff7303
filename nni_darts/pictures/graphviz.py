"""Cells drawn by graphviz, where its program `dot` is installed."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Sequence

from nni_darts._common.messages import printable
from nni_darts.pictures.cell_graph import CAPTIONS, Graph, Link, label_lines, link_id
from nni_darts.pictures.colours import LIGHT, NODES, colour_of

__all__ = ["DotError", "installed", "render", "source"]

_TIMEOUT = 60  # seconds; it needs less than one


class DotError(RuntimeError):
    """dot is installed, but did not draw."""


def installed() -> bool:
    """Whether there is a program `dot` on the path."""
    return shutil.which("dot") is not None


def source(graphs: Sequence[Graph], title: str | None = None) -> str:
    """The cells below each other as one graph in graphviz's language."""
    lines = [
        "digraph {",
        f'rankdir=LR; bgcolor="{LIGHT}"; pad=0.12; nodesep=0.14; ranksep=0.42;',
        'fontname="Helvetica"; labelloc=t; fontsize=13;',
        'node [shape=box, style="rounded,filled", fontname="Helvetica", fontsize=12, '
        "width=0.32, height=0.32, margin=0.06, penwidth=1.1];",
        "edge [arrowsize=0.6, penwidth=1.4];",
    ]
    if title:
        lines.append(f"label={_quoted(printable(title))};")
    # With rankdir=LR what comes first stands lowest.
    for graph in reversed(graphs):
        lines += [
            f"subgraph {_quoted(f'cluster_{graph.kind}')} {{",
            "color=none; fontsize=11; labeljust=l;",
            f"label={_quoted(CAPTIONS[graph.kind])};",
        ]
        for box in graph.boxes:
            inside, border = NODES[box.role]
            name = _quoted(f"{graph.kind}-{box.name}")
            lines.append(
                f"{name} [label={_symbol(box.name)}, id={name}, "
                f'fillcolor="{inside}", color="{border}"];'
            )
        for link in graph.links:
            lines += _link(graph, link)
        lines.append("}")
    return "\n".join([*lines, "}"])


def _link(graph: Graph, link: Link) -> list[str]:
    source, target = (_quoted(f"{graph.kind}-{name}") for name in (link.source, link.target))
    name = link_id(graph, link)
    if link.operation is None:
        return [f'{source}:e -> {target}:w [color="#8A8F98", penwidth=1.1, id={_quoted(name)}];']
    # A label is a box of its own on the way: graphviz then leads every other link around it.
    colour = colour_of(link.operation).light
    text = "\\n".join(_escaped(line) for line in label_lines(link.operation))
    label = _quoted(f"{name}-label-{graph.links.index(link)}")
    return [
        f'{label} [label="{text}", fontcolor="{colour}", fontsize=10.5, shape=box, style="", '
        "penwidth=0, margin=0.03, width=0, height=0];",
        f'{source} -> {label}:w [color="{colour}", arrowhead=none];',
        f'{label}:e -> {target}:w [color="{colour}", id={_quoted(name)}];',
    ]


def render(graphs: Sequence[Graph], format: str, title: str | None = None) -> bytes:
    """The picture as svg, png or pdf.

    Raises:
        DotError: dot failed; one line of what it said.
    """
    command = ["dot", f"-T{format}"] + (["-Gdpi=200"] if format == "png" else [])
    try:
        run = subprocess.run(
            command,
            input=source(graphs, title).encode(),
            capture_output=True,
            timeout=_TIMEOUT,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise DotError(f"dot could not be run: {error}") from None
    if run.returncode or not run.stdout:
        said = run.stderr.decode(errors="replace").strip().splitlines()
        raise DotError(said[0] if said else f"dot ended with status {run.returncode}")
    return run.stdout


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"')


def _quoted(text: str) -> str:
    return f'"{_escaped(text)}"'


def _symbol(name: str) -> str:
    """c_{k-2} with its index below the line."""
    letter, _, index = name.partition("_")
    if not index:
        return _quoted(name)
    return f'<<I>{letter}</I><SUB><FONT POINT-SIZE="9">{index.strip("{}")}</FONT></SUB>>'
