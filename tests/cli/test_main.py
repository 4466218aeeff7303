from __future__ import annotations

import pytest

from nni_darts.cli.main import main


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["exprot"],
        ["export", "--top-k", "0"],
        ["export", "--top-k", "x"],
        ["export", "--format", "xml"],
        ["run", "f.yml", "--port", "99999"],
    ],
)
def test_wrong_arguments(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    assert caught.value.code == 2
    assert "error: " in capsys.readouterr().err


def test_what_the_system_refuses_is_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def show(options: object) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("nni_darts.cli.networks.show", show)
    assert main(["show", "DARTS_V2"]) == 1
    assert capsys.readouterr().err == "error: [Errno 28] No space left on device\n"


@pytest.mark.parametrize(
    "arguments", [["env", "\x1b[2Jx"], ["export", "--top-k", "\x1b[2Jx"], ["\x1b[2Jx"]]
)
def test_what_was_typed_does_not_command_the_terminal(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        main(arguments)
    error = capsys.readouterr().err
    assert "\\x1b[2Jx" in error
    assert "\x1b" not in error
