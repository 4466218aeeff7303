from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch

from nni_darts._common.validation import SettingsError, validated
from nni_darts.tasks.images.settings import ImageTraining
from nni_darts.training.precision import lightning_precision

CPU, CUDA = torch.device("cpu"), torch.device("cuda", 0)


def settings() -> tuple[bool, bool]:
    return torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32


@pytest.fixture(autouse=True)
def _put_back() -> Iterator[None]:
    before = settings()
    yield
    torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32 = before


@pytest.mark.parametrize(
    ("precision", "name", "tf32"),
    [
        ("tf32", "32-true", True),
        ("32-true", "32-true", False),
        ("bf16-mixed", "bf16-mixed", False),
        ("64-true", "64-true", False),
    ],
)
def test_on_cuda(precision: str, name: str, tf32: bool) -> None:
    assert lightning_precision(precision, CUDA) == name
    assert settings() == (tf32, tf32)


def test_on_the_cpu_it_is_float32_and_a_line_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    before = settings()
    assert lightning_precision("tf32", CPU) == "32-true"
    said = capsys.readouterr().out
    assert said == "precision tf32 is for CUDA devices; on the cpu it is float32\n"
    assert lightning_precision("32-true", CPU) == "32-true"
    assert capsys.readouterr().out == ""
    assert settings() == before


def test_the_settings_know_it(message) -> None:
    assert validated(ImageTraining, {"precision": "tf32"}).precision == "tf32"
    assert "'tf32'" in message(SettingsError, validated, ImageTraining, {"precision": "tf23"})


@pytest.mark.gpu
def test_tf32_rounds_to_ten_bits() -> None:
    a, b = torch.rand(2, 256, 256, device="cuda").double().unbind()
    errors = {}
    for precision in ("32-true", "tf32"):
        lightning_precision(precision, CUDA)
        got = (a.float() @ b.float()).double()
        errors[precision] = float(((got - a @ b) / (a @ b)).abs().max())
    assert errors["32-true"] < 1e-5 < errors["tf32"] < 1e-2
