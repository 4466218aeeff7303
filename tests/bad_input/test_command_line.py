"""Wrong command lines: status 2 and one line that names the flag or the file, at once."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
from histories import reports

from experiments import A, searched, store
from nni_darts.cli.main import main
from nni_darts.experiment import report as reporting
from nni_darts.pictures import drawing as pictures
from nni_darts.runs import build, train  # noqa: F401  they load slowly: not in a test's time

pytestmark = pytest.mark.timeout(60)

Refused = Callable[..., str]
HUGE = "9" * 5000
LONG = "x" * 300
NULL = "a\0b"


@pytest.fixture
def refused(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Refused:
    """The one line by which a command line is refused; nothing is left behind."""
    store(home, "abc", [searched(0, (-1.0, A))])
    folder = home / "here"
    folder.mkdir()
    (folder / "file").write_text("{}")
    (folder / "folder.svg").mkdir()
    (folder / "folder.gif").mkdir()
    pd.DataFrame(reports(2)).to_csv(folder / "history.csv", index=False)
    monkeypatch.chdir(folder)

    def call(arguments: list[str]) -> str:
        before = sorted(folder.rglob("*"))
        started = time.monotonic()
        try:
            status = main(arguments)
        except SystemExit as ended:
            status = int(ended.code or 0)
        assert time.monotonic() - started < 5
        printed = capsys.readouterr()
        assert status == 2
        assert printed.out == ""
        (line,) = printed.err.split("\n")[:-1]
        assert line.startswith("error: ")
        assert line.isprintable()
        assert len(line) < 2000
        assert sorted(folder.rglob("*")) == before
        return line

    return call


DIGITS = ["retrain", "DARTS_V2", "--data", "digits"]
EVALUATE = ["evaluate", "w.ckpt", "--data", "digits"]
DRAW = ["draw", "DARTS_V2", "-o"]

# What the parser finds: the flag is named, and where there is help.
FLAGS = [
    ([], "COMMAND"),
    (["exprot"], "exprot"),
    (["x" * 5000], "COMMAND"),
    (["--wat"], "COMMAND"),
    (["check"], "FILE"),
    (["check", ""], "FILE"),
    (["check", "a.yml", "b.yml"], "b.yml"),
    (["check", "a.yml", "\x1b[2J\n--x"], r"\x1b[2J\n--x"),
    (["check", "a.yml", "--quick=1"], "--quick"),
    (["run"], "FILE"),
    *((["run", "a.yml", "--port", port], "--port") for port in ("0", "65536", "-1", "x", "", HUGE)),
    (["run", "a.yml", "--port"], "--port"),
    (["run", "a.yml", "--host", "8.8.8.8"], "--host"),
    (["run", "a.yml", "--host", ""], "--host"),
    (["env", "x"], "x"),
    *(
        (["export", "--top-k", number], "--top-k")
        for number in ("0", "-1", "1001", "1.5", "nan", "inf", "", "1e3", "true", HUGE)
    ),
    (["export", "--format", "xml"], "--format"),
    (["export", "--format", "x" * 5000], "--format"),
    (["export", "abc", "def"], "def"),
    (["export", "-o", ""], "-o"),
    (["report", "--top-k", "3"], "--top-k"),
    (["report", "-o"], "-o"),
    (["retrain"], "GENOTYPE"),
    (["retrain", "DARTS_V2"], "--data"),
    ([*DIGITS, "-o", ""], "-o"),
    ([*DIGITS, "--root", ""], "--root"),
    ([*DIGITS, "--epochz", "3"], "--epochz"),
    *(([*DIGITS, "--seed", seed], "--seed") for seed in ("-1", str(2**32), "nan", "x", HUGE)),
    *(
        ([*DIGITS, "--image-size", size], "--image-size")
        for size in ("0", "-8", "4097", "inf", "8x8", HUGE)
    ),
    *(
        ([*DIGITS, "--num-workers", count], "--num-workers")
        for count in ("-1", "1025", "1.0", "all", HUGE)
    ),
    *(([*DIGITS, "--split-seed", seed], "--split-seed") for seed in ("-1", str(2**32), "nan")),
    (["evaluate", "--data", "digits"], "CHECKPOINT"),
    (["evaluate", "", "--data", "digits"], "CHECKPOINT"),
    (["evaluate", "w.ckpt"], "--data"),
    *(
        ([*EVALUATE, "--batch-size", size], "--batch-size")
        for size in ("0", "-1", "1000001", "nan", "", HUGE)
    ),
    ([*EVALUATE, "--image-size", "4097"], "--image-size"),
    ([*EVALUATE, "--num-workers", "1025"], "--num-workers"),
    ([*EVALUATE, "--unfinished=yes"], "--unfinished"),
    (["show"], "GENOTYPE"),
    (["show", "DARTS_V1", "DARTS_V2"], "DARTS_V2"),
    *((["random", "--n", number], "--n") for number in ("0", "-1", "1.5", "nan", "", HUGE)),
    *((["random", "--seed", seed], "--seed") for seed in ("-1", str(2**32), "nan", HUGE)),
    (["random", "--format", "svg"], "--format"),
    (["random", "--recurrent=1"], "--recurrent"),
    (["draw", "DARTS_V2"], "-o"),
    (["draw", "-o", "a.svg"], "GENOTYPE"),
    ([*DRAW, ""], "-o"),
    (["plot", "history.csv"], "-o"),
    (["plot", "-o", "a.svg"], "TRIAL_OR_HISTORY"),
    (["animate", "history.csv"], "-o"),
]


@pytest.mark.parametrize(("arguments", "named"), FLAGS)
def test_flags(arguments: list[str], named: str, refused: Refused) -> None:
    line = refused(arguments)
    assert named in line
    assert line.endswith("--help")


# What a command finds itself.
VALUES = [
    (["check", "missing.yml"], "missing.yml: "),
    (["check", "."], ".: "),
    (["run", LONG], LONG),
    (["run", "file/x.yml"], "file/x.yml: "),
    (["export", "xyz"], "'xyz'"),
    (["export", ""], "''"),
    (["export", "../abc"], "'../abc'"),
    (["export", "\x1b[2J"], r"\x1b[2J"),
    (["report", "xyz"], "'xyz'"),
    (["show", "DARTS_V3"], "'DARTS_V3'"),
    (["show", ""], "''"),
    (["show", "x" * 100_000], "unknown genotype"),
    (["show", "{" * 60_000], "50000 characters"),
    (["show", "Genotype(" + "(" * 3000], "not a genotype"),
    (["show", '{"normal": [["x", NaN]]}'], "the genotype lacks"),
    (["show", NULL], r"a\x00b"),
    (["random", "--n", "100001"], "--n: count must be at most 100000"),
    (["draw", "DARTS_V3", "-o", "a.svg"], "'DARTS_V3'"),
    (["plot", "xyz", "-o", "a.svg"], "'xyz'"),
    (["plot", "", "-o", "a.svg"], "''"),
    (["plot", "missing.csv", "-o", "a.svg"], "missing.csv"),
    (["plot", f"{NULL}.csv", "-o", "a.svg"], r"a\x00b.csv"),
    (["plot", f"{LONG}.csv", "-o", "a.svg"], LONG),
    (["plot", "search-9", "-o", "a.svg"], "'search-9'"),
    (["animate", "file/x.csv", "-o", "a.gif"], "file/x.csv"),
    (EVALUATE, "w.ckpt: no such file"),
    (["evaluate", ".", "--data", "digits"], ".: is a folder"),
    (["evaluate", NULL, "--data", "digits"], r"a\x00b"),
    (["evaluate", LONG, "--data", "digits"], LONG),
    (["retrain", "DARTS_V3", "--data", "digits"], "'DARTS_V3'"),
    *(
        ([*DIGITS, f"--{name.replace('_', '-')}", value], f"{name}: ")
        for name, value in (
            ("epochs", "0"),
            ("epochs", "nan"),
            ("epochs", "inf"),
            ("epochs", "2.5"),
            ("epochs", "true"),
            ("epochs", ""),
            ("batch_size", "0"),
            ("batch_size", "-1"),
            ("batch_size", "none"),
            ("learning_rate", "nan"),
            ("learning_rate", "inf"),
            ("learning_rate", "-1"),
            ("weight_decay", "nan"),
            ("gradient_clip", "0"),
            ("channels", "0"),
            ("num_cells", "-1"),
            ("drop_path", "1.5"),
            ("val_share", "nan"),
            ("precision", "16"),
            ("stem", "x"),
            ("schedule", ""),
            ("hidden", "8"),
        )
    ),
    # Flags that contradict each other, or the data.
    ([*DIGITS, "--root", "."], "root"),
    ([*DIGITS, "--image-size", "3"], "image_size"),
    ([*DIGITS, "--cutout", "9", "--auxiliary-weight", "0"], "cutout"),
    ([*DIGITS, "--auxiliary-weight", "0", "--cutout", "0", "--batch-size", "5000"], "batch_size"),
    ([*DIGITS, "--learning-rate-decay", "0.9"], "learning_rate_decay"),
    (["retrain", "RNN_DARTS_V2", "--data", "alice", "--image-size", "32"], "image_size"),
    (["retrain", "RNN_DARTS_V2", "--data", "alice", "--root", "."], "root"),
    (["retrain", "RNN_DARTS_V2", "--data", "digits"], "images"),
    *(
        (["retrain", "DARTS_V2", "--data", name], "data")
        for name in ("", "digit", ".", "..x", "a..b", "x.", ".x.Y", "no.such.Class", "os.path")
    ),
    *(
        (["retrain", "DARTS_V2", "--data", "image_folder", "--root", root], where)
        for root, where in (
            ("missing", "missing"),
            ("file", "file"),
            ("file/x", "file/x"),
            (NULL, r"a\x00b"),
            (LONG, LONG),
            ("~nobody-of-this-name/x", "~nobody-of-this-name/x"),
        )
    ),
    *(
        (["retrain", "RNN_DARTS_V2", "--data", "ptb", "--root", root], where)
        for root, where in (
            ("missing", "missing"),
            (NULL, r"a\x00b"),
            (LONG, LONG),
            ("~nobody-of-this-name/x", "~nobody-of-this-name/x"),
        )
    ),
    (["retrain", "DARTS_V2", "--data", "cifar10", "--root", "file"], "file"),
    (["retrain", "DARTS_V2", "--data", "cifar10", "--root", NULL], r"a\x00b"),
]


@pytest.mark.parametrize(("arguments", "named"), VALUES)
def test_values(arguments: list[str], named: str, refused: Refused) -> None:
    assert named in refused(arguments)


# Outputs that cannot be written are known before anything is worked at.


def never(*arguments: object) -> None:
    pytest.fail("the work was begun")


@pytest.fixture
def idle(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever takes long fails."""
    for module, name in (
        (reporting, "html"),
        (pictures, "draw"),
        (pictures, "plot_history"),
        (build, "training_data"),
    ):
        monkeypatch.setattr(module, name, never)
    for name in ("ranked_architectures", "_table"):
        monkeypatch.setattr(f"nni_darts.cli.experiments.{name}", never)
    monkeypatch.setattr("nni_darts.cli.pictures._history", never)


WRITING = {
    "export": (["export"], ""),
    "report": (["report"], ""),
    "draw": (["draw", "DARTS_V2"], ".svg"),
    "plot": (["plot", "history.csv"], ".svg"),
    "animate": (["animate", "history.csv"], ".gif"),
}
UNWRITABLE = {
    "below a file": "file/x{}",
    "a name that is too long": f"{LONG}{{}}",
    "a path that is too long": "a/" * 3000 + "x{}",
    "a null byte": f"{NULL}{{}}",
    "below what is no folder": "/dev/null/x{}",
    "where nobody can write": "/proc/x{}",
}


@pytest.mark.usefixtures("idle")
@pytest.mark.parametrize("output", UNWRITABLE.values(), ids=UNWRITABLE)
@pytest.mark.parametrize("command", WRITING)
def test_outputs(command: str, output: str, refused: Refused) -> None:
    arguments, suffix = WRITING[command]
    line = refused([*arguments, "-o", output.format(suffix)])
    assert "cannot write " in line
    assert output.format(suffix).replace("\0", r"\x00")[:200] in line


@pytest.mark.usefixtures("idle")
@pytest.mark.parametrize(
    ("arguments", "output"),
    [
        (["export"], "."),
        (["report"], "folder.svg"),
        (["report"], "no/such/folder/x.html"),
        (["draw", "DARTS_V2"], "folder.svg"),
        (["plot", "history.csv"], "folder.svg"),
        (["animate", "history.csv"], "folder.gif"),
    ],
)
def test_folders_as_outputs(arguments: list[str], output: str, refused: Refused) -> None:
    assert f"cannot write {output}: " in refused([*arguments, "-o", output])


@pytest.mark.usefixtures("idle")
@pytest.mark.parametrize("command", ["draw", "plot", "animate"])
@pytest.mark.parametrize("suffix", ["", ".jpg", ".svg.exe", ".", ".\x1b[2J"])
def test_suffixes(command: str, suffix: str, refused: Refused) -> None:
    line = refused([*WRITING[command][0], "-o", f"x{suffix}"])
    assert "must end in one of ." in line


@pytest.mark.usefixtures("idle")
@pytest.mark.parametrize("output", ["file", *(form.format("") for form in UNWRITABLE.values())])
def test_folders_to_train_in(output: str, refused: Refused) -> None:
    line = refused([*DIGITS, "--auxiliary-weight", "0", "--cutout", "0", "-o", output])
    assert line.startswith("error: the output directory: ")


# As a process

COMMAND = [
    sys.executable,
    "-c",
    "import sys; from nni_darts.cli.main import main; sys.exit(main())",
]


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["show", b"\xff\xfe"], r"\udcff\udcfe"),
        (["check", b"\xff.yml"], r"\udcff.yml: "),
        (["export", b"\xff"], r"\udcff"),
        (["random", b"--\xff"], r"--\udcff"),
    ],
)
def test_arguments_that_are_no_text(arguments: list[str | bytes], named: str, home: Path) -> None:
    run = subprocess.run([*COMMAND, *arguments], capture_output=True, timeout=30)
    (line,) = run.stderr.decode("ascii").splitlines()
    assert run.returncode == 2
    assert named in line


def test_a_file_whose_name_is_no_text(home: Path) -> None:
    path = os.fsencode(home) + b"/\xff.svg"
    run = subprocess.run(
        [*COMMAND, *DRAW, path],
        capture_output=True,
        timeout=60,
        env={**os.environ, "PYTHONIOENCODING": "utf-8:strict"},
    )
    assert (run.returncode, run.stderr) == (0, b"")
    assert rb"\udcff.svg" in run.stdout
    assert os.path.getsize(path) > 1000
