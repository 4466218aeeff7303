"""The command `nni-darts`.

Exit status: 0 for success, 1 when a run failed, 2 for a user's mistake, 130 after Ctrl-C and 143
after SIGTERM.
"""

from __future__ import annotations

import argparse
import io
import sys
import warnings
from collections.abc import Sequence
from contextlib import suppress
from typing import TypeAlias

from nni_darts._common import limits, signals
from nni_darts._common.messages import line, printable
from nni_darts._common.validation import SettingsError
from nni_darts.cli.parser import Parser, path, root, whole
from nni_darts.experiment import loopback
from nni_darts.experiment.nni_database import StoredError
from nni_darts.genotypes.genotype import FORMATS
from nni_darts.tasks.registry import TASKS


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit status."""
    # The name of a file may be no text, and a terminal may know few characters.
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")
    options = _parser().parse_args(arguments)
    # NNI 3.0 wonders aloud about today's torch, and Lightning advertises.
    warnings.filterwarnings("ignore", module=r"nni\.|pytorch_lightning\.|torch\.")
    try:
        with signals.handled_by(signals.raised):
            return int(options.run(options))
    except SettingsError as error:
        for problem in error.problems:
            print(f"error: {line(problem)}", file=sys.stderr)
    except StoredError as error:
        print(f"error: {line(str(error))}", file=sys.stderr)
    except signals.Ended as ended:
        print(f"{ended}: nothing was kept; run the same command again", file=sys.stderr)
        return ended.status
    except BrokenPipeError:
        return 1
    except OSError as error:  # a full disk, say
        with suppress(OSError):
            print(f"error: {printable(str(error))}", file=sys.stderr)
        return 1
    return 2


def _parser() -> argparse.ArgumentParser:
    parser = Parser(
        prog="nni-darts",
        description="DARTS on NNI: search, select, evaluate, draw cells; train and test networks.",
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    _add_experiment_commands(commands)
    _add_selection_command(commands)
    _add_network_commands(commands)
    _add_picture_commands(commands)
    return parser


Commands: TypeAlias = "argparse._SubParsersAction[Parser]"


def _add_experiment_commands(commands: Commands) -> None:
    from nni_darts.cli import experiments
    from nni_darts.cli import run as running
    from nni_darts.cli.variants import variants

    check = commands.add_parser(
        "check",
        help="say what is wrong in an experiment file",
        description="Say what is wrong in an experiment file. It imports the classes that the file "
        "names, from its trialCodeDirectory and the Python path, and builds what they describe: "
        "check files of people whose code you would run.",
    )
    check.add_argument("file", type=path, metavar="FILE")
    check.add_argument(
        "--quick", action="store_true", help="leave out the tiny step of a search on the CPU"
    )
    check.set_defaults(run=experiments.check)

    methods = commands.add_parser("variants", help="list the methods that a search can be")
    methods.set_defaults(run=variants)

    run = commands.add_parser("run", help="run an experiment and show its progress")
    run.add_argument("file", type=path, metavar="FILE")
    run.add_argument(
        "--port",
        type=whole(1, limits.PORT),
        help="of NNI's web UI; the first free one from 8080 by default",
    )
    run.add_argument(
        "--host",
        choices=(loopback.LOOPBACK, loopback.ALL),
        default=loopback.LOOPBACK,
        help=f"where NNI's manager listens: this machine alone ({loopback.LOOPBACK}, the default), "
        f"or all network interfaces ({loopback.ALL}), where it asks nobody for a password",
    )
    run.set_defaults(run=running.run)

    env = commands.add_parser(
        "env",
        help="print what keeps the managers that nnictl starts on this machine",
        description="Print a line for the shell, with which NNI's managers that it starts listen "
        'on 127.0.0.1 alone: eval "$(nni-darts env)"',
    )
    env.set_defaults(run=running.env)

    export = commands.add_parser("export", help="print the best genotypes of an experiment")
    _add_experiment(export)
    export.add_argument(
        "--top-k", type=whole(1, limits.TOP_K), default=3, metavar="N", help="3 by default"
    )
    export.add_argument("--format", choices=FORMATS, help="for other programs; a table without")
    _add_output(export, "write there")
    export.set_defaults(run=experiments.export)

    report = commands.add_parser("report", help="write a report of an experiment, one HTML file")
    _add_experiment(report)
    _add_output(report, "report-EXPERIMENT_ID.html by default")
    report.set_defaults(run=experiments.report)


def _add_selection_command(commands: Commands) -> None:
    from nni_darts.cli import selecting

    select = commands.add_parser(
        "select",
        help="select architectures anew after a search",
        description="Select architectures of a search that is over, by another rule and from its "
        "last checkpoint, on the data that it had. Called again with the same arguments it goes on "
        "where it was stopped.",
    )
    select.add_argument(
        "checkpoint", type=path, metavar="CHECKPOINT", help="last.ckpt of the run, or its folder"
    )
    select.add_argument(
        "--selection",
        default="perturbation",
        metavar="NAME",
        help="perturbation (the default), subnets or package.module.Class",
    )
    select.add_argument(
        "--top-k", type=whole(1, limits.TOP_K), metavar="N", help="as in the search by default"
    )
    select.add_argument(
        "-o", "--output", type=path, metavar="DIR", help="select-NAME in the run's folder"
    )
    own = select.add_argument_group("options of the selection, its own defaults without")
    absent = argparse.SUPPRESS
    steps = whole(1, limits.EPOCHS)
    own.add_argument(
        "--epochs-between", type=steps, default=absent, metavar="N", help="perturbation"
    )
    own.add_argument(
        "--learning-rate", type=float, default=absent, metavar="RATE", help="perturbation"
    )
    own.add_argument(
        "--fix-alpha", action="store_true", default=absent, help="perturbation: alphas rest"
    )
    own.add_argument("--metric", default=absent, metavar="NAME", help="accuracy or loss")
    own.add_argument(
        "--count", type=whole(1, limits.ARCHITECTURES), default=absent, metavar="N", help="subnets"
    )
    own.add_argument(
        "--batches", type=whole(1, limits.STEPS), default=absent, metavar="N", help="subnets"
    )
    select.set_defaults(run=selecting.select)


def _add_network_commands(commands: Commands) -> None:
    from nni_darts.cli import networks

    retrain = commands.add_parser(
        "retrain",
        help="train a genotype from scratch, without an experiment",
        description="Train a genotype from scratch. Called again with the same arguments it goes "
        "on from its last checkpoint. The defaults are the paper's: for CIFAR-10, and for Penn "
        "Treebank.",
    )
    _add_genotype(retrain)
    _add_data(retrain)
    retrain.add_argument(
        "--seed", type=whole(0, limits.SEED), default=0, metavar="N", help="0 by default"
    )
    retrain.add_argument(
        "-o", "--output", type=path, metavar="DIR", help="retrain-GENOTYPE-DATA-SEED by default"
    )
    _add_settings(retrain)
    retrain.set_defaults(run=networks.retrain)

    evaluate = commands.add_parser("evaluate", help="test a trained network on the test data")
    evaluate.add_argument("checkpoint", type=path, metavar="CHECKPOINT")
    _add_data(evaluate)
    evaluate.add_argument(
        "--batch-size",
        type=whole(1, limits.BATCH_SIZE),
        metavar="N",
        help="of images; 96 by default",
    )
    evaluate.add_argument(
        "--unfinished", action="store_true", help="test a network whose training is not over, too"
    )
    evaluate.set_defaults(run=networks.evaluate)

    show = commands.add_parser("show", help="print a genotype, its parameters and multiply-adds")
    _add_genotype(show)
    show.set_defaults(run=networks.show)

    random = commands.add_parser("random", help="draw random cells, the baseline of a search")
    random.add_argument("--n", type=whole(1), default=1, metavar="N", help="how many; 1 by default")
    random.add_argument(
        "--seed", type=whole(0, limits.SEED), default=0, metavar="N", help="0 by default"
    )
    random.add_argument("--recurrent", action="store_true", help="cells for text, not for images")
    random.add_argument("--format", choices=FORMATS, default="json", help="json by default")
    random.set_defaults(run=networks.random)


def _add_settings(retrain: argparse.ArgumentParser) -> None:
    """Add the settings that all networks have, and those of one task only."""
    group = retrain.add_argument_group("settings (`none` for none)")
    groups = {
        task: retrain.add_argument_group(f"settings for {task.name}, data {task.data_in_words}")
        for task in TASKS
    }
    every = {task: task.training.model_fields for task in TASKS}
    for name in dict.fromkeys(name for fields in every.values() for name in fields):
        fields = {task: of_task[name] for task, of_task in every.items() if name in of_task}
        defaults = [f"{field.default} for {task.name}" for task, field in fields.items()]
        alone = next(iter(fields))
        (groups[alone] if len(fields) == 1 else group).add_argument(
            f"--{name.replace('_', '-')}",
            metavar="VALUE",
            default=argparse.SUPPRESS,
            help=f"{fields[alone].default if len(fields) == 1 else ', '.join(defaults)} by default",
        )


def _add_picture_commands(commands: Commands) -> None:
    from nni_darts.cli import pictures

    draw = commands.add_parser("draw", help="draw the cells of a genotype")
    _add_genotype(draw)
    _add_picture(draw, ".svg, .png or .pdf")
    draw.set_defaults(run=pictures.draw)

    plot = commands.add_parser("plot", help="draw the weights of a search over its epochs")
    _add_history(plot)
    _add_picture(plot, ".svg, .png or .pdf")
    plot.set_defaults(run=pictures.plot)

    animate = commands.add_parser("animate", help="show how the cells of a search evolved")
    _add_history(animate)
    _add_picture(animate, ".gif")
    animate.set_defaults(run=pictures.animate)


def _add_picture(parser: argparse.ArgumentParser, suffixes: str) -> None:
    parser.add_argument(
        "-o", "--output", type=path, required=True, metavar="FILE", help=f"ends in {suffixes}"
    )


def _add_history(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "history",
        metavar="TRIAL_OR_HISTORY",
        help="the history.csv of a search, the id of its trial, or a run of the latest experiment "
        "such as search-0",
    )


def _add_experiment(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "experiment", nargs="?", metavar="EXPERIMENT_ID", help="the latest of ours by default"
    )


def _add_output(parser: argparse.ArgumentParser, what: str) -> None:
    parser.add_argument("-o", "--output", type=path, metavar="FILE", help=what)


def _add_genotype(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "genotype",
        metavar="GENOTYPE",
        help="a published name such as DARTS_V2, a file, or the text in any format",
    )


def _add_data(parser: argparse.ArgumentParser) -> None:
    data = parser.add_argument_group("data")
    data.add_argument(
        "--data",
        required=True,
        metavar="NAME",
        help=f"{'; '.join(task.data_in_words for task in TASKS)}; or package.module.Class",
    )
    data.add_argument(
        "--root",
        "--data-dir",
        type=root,
        metavar="DIR",
        help="where it lies, or images are downloaded to",
    )
    data.add_argument(
        "--image-size",
        type=whole(1, limits.IMAGE_SIZE),
        metavar="PIXELS",
        help="the data's own by default",
    )
    data.add_argument(
        "--num-workers",
        type=whole(0, limits.WORKERS),
        metavar="N",
        help="processes that read images",
    )
    data.add_argument(
        "--split-seed", type=whole(0, limits.SEED), metavar="N", help="of the validation images"
    )
