"""What all tests share: small spaces, small data, a short way through NNI's engine."""

from __future__ import annotations

import os
import signal
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch

# Tests run small tensors: a second thread costs more than it gives. Processes that they start, too.
os.environ["OMP_NUM_THREADS"] = "1"
torch.set_num_threads(1)
# Under nohup, or in the background of a script, they would be ignored, here and in every process
# that a test starts.
signal.signal(signal.SIGHUP, signal.SIG_DFL)
signal.signal(signal.SIGINT, signal.default_int_handler)
warnings.filterwarnings("ignore", message=".*is found to be not a nn.Module.*")


def pytest_runtest_setup(item: pytest.Item) -> None:
    if item.get_closest_marker("gpu") is not None and not torch.cuda.is_available():
        pytest.skip("needs a GPU")


@pytest.fixture(autouse=True)
def _seeded() -> Iterator[None]:
    torch.manual_seed(0)
    yield
    # Trainers turn it on for the whole process; then new memory is filled, and more.
    torch.use_deterministic_algorithms(False)


@pytest.fixture(autouse=True)
def _nothing_is_noted_at_home(tmp_path_factory: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from nni_darts.tasks.images import image_check

    monkeypatch.setattr(
        image_check, "checked_folder", lambda: tmp_path_factory.getbasetemp() / "seen"
    )


@pytest.fixture
def home(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A home folder of the test's own: NNI keeps its list of experiments there."""
    folder = tmp_path / "home"
    folder.mkdir()
    monkeypatch.setenv("HOME", str(folder))
    return folder


@pytest.fixture
def message() -> Callable[..., str]:
    """The text of the exception that a call raises; it must be one line."""

    def catch(kind: type[Exception], call: Callable[..., Any], *args: Any, **kwargs: Any) -> str:
        with pytest.raises(kind) as caught:
            call(*args, **kwargs)
        text = str(caught.value)
        assert "\n" not in text
        return text

    return catch


@pytest.fixture
def running(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """An experiment that is not started yet, and starts nothing of NNI's."""
    from fake_manager import fake_running

    return fake_running(tmp_path, monkeypatch)


@pytest.fixture
def server() -> Iterator[Any]:
    """Port of a manager that is not NNI's, and what it says of itself."""
    from fake_manager import fake_manager

    with fake_manager() as made:
        yield made
