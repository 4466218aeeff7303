"""A trained network out of its checkpoint, where torch alone is installed."""

from __future__ import annotations

import copy
import importlib.metadata
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import pytorch_lightning as pl
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

import nni_darts
from nni_darts.genotypes.genotype import Genotype
from nni_darts.training import checkpoint
from nni_darts.training.checkpoint import CheckpointError, describe, load, read
from search_spaces import DartsNetwork, DartsRNNNetwork, activations, operations

ROOT = Path(__file__).parents[2]
GENOTYPE = Genotype.parse(
    "Genotype(normal=[('sep_conv_3x3', 0), ('skip_connect', 1), ('dil_conv_3x3', 2), "
    "('avg_pool_3x3', 1)], normal_concat=range(2, 4), reduce=[('max_pool_3x3', 0), "
    "('skip_connect', 1), ('skip_connect', 2), ('sep_conv_5x5', 0)], reduce_concat=range(2, 4))"
)
INPUT = {"image_size": 32, "mean": [0.5, 0.4, 0.3], "std": [0.2, 0.2, 0.1]}
TRAINING = '{"epochs": 1}'


class Recipe(pl.LightningModule):
    """The least that a training has."""

    def __init__(self, network: DartsNetwork) -> None:
        super().__init__()
        self.network = network
        self.metric = nn.BatchNorm1d(1)  # something else with a state

    def training_step(self, batch: list[Tensor], batch_idx: int) -> Tensor:
        x, y = batch
        logits, auxiliary = self.network(x)
        return sum(nn.functional.cross_entropy(out, y) for out in (logits, auxiliary))

    def configure_optimizers(self) -> Any:
        return torch.optim.SGD(self.parameters(), 0.05, momentum=0.9)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        checkpoint["nni_darts"] = describe(self.network, INPUT, TRAINING)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[DartsNetwork, Path]:
    """A network after a few steps, and the folder of its checkpoints: full.ckpt, weights.ckpt."""
    folder = tmp_path_factory.mktemp("trained")
    torch.manual_seed(0)
    network = DartsNetwork(GENOTYPE, 4, 3, auxiliary=True, drop_path=0.2)
    data = TensorDataset(torch.randn(16, 3, 32, 32), torch.randint(10, (16,)))
    trainer = pl.Trainer(
        accelerator="cpu",
        max_epochs=1,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(Recipe(network), DataLoader(data, batch_size=4))
    trainer.save_checkpoint(folder / "full.ckpt")
    trainer.save_checkpoint(folder / "weights.ckpt", weights_only=True)
    return network.eval(), folder


@pytest.fixture
def changed(trained: tuple[DartsNetwork, Path], tmp_path: Path) -> Callable[..., Path]:
    """Makes a checkpoint of which a part is changed."""

    def make(change: Callable[[dict[str, Any]], Any]) -> Path:
        content = torch.load(trained[1] / "weights.ckpt")
        change(content)
        torch.save(content, tmp_path / "changed.ckpt")
        return tmp_path / "changed.ckpt"

    return make


# What it gives


@pytest.mark.parametrize("name", ["full.ckpt", "weights.ckpt"])
def test_the_network_is_the_trained_one(name: str, trained: tuple[DartsNetwork, Path]) -> None:
    network, folder = trained
    loaded = nni_darts.load(str(folder / name))
    assert not loaded.training
    assert loaded.auxiliary is None
    assert loaded.drop_path == 0
    assert not any("auxiliary" in key for key in loaded.state_dict())
    x = torch.randn(5, 3, 32, 32)
    assert torch.equal(loaded(x), network(x))


def test_what_a_checkpoint_says(trained: tuple[DartsNetwork, Path]) -> None:
    network, folder = trained
    saved = read(folder / "full.ckpt")
    assert saved.genotype == GENOTYPE
    assert saved.arguments == network.arguments
    assert saved.arguments["auxiliary"]
    assert saved.input == INPUT
    assert saved.training == TRAINING
    assert list(saved.state) == list(network.state_dict())


def test_nothing_need_be_known_of_the_input() -> None:
    assert describe(DartsNetwork(GENOTYPE, 4, 3), {}, "{}")["input"] == {}
    # Sequences become lists: what else lies in a file is code to torch.
    assert describe(DartsNetwork(GENOTYPE, 4, 3), {"mean": (0.5,)}, "{}")["input"] == {
        "mean": [0.5]
    }


def test_loading_leaves_random_numbers_and_devices_alone(
    trained: tuple[DartsNetwork, Path],
) -> None:
    state = torch.get_rng_state()
    with torch.device("meta"):
        loaded = load(trained[1] / "weights.ckpt")
    assert torch.equal(torch.get_rng_state(), state)
    assert {p.device.type for p in loaded.parameters()} == {"cpu"}


def test_an_operation_of_the_users_own(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, message: Any
) -> None:
    def blur(channels: int, stride: int, norm: Any) -> nn.Module:
        return nn.Sequential(nn.AvgPool2d(5, stride, 2), norm(channels))

    text = GENOTYPE.to_json().replace("avg_pool_3x3", "blur")
    with monkeypatch.context() as patch:
        patch.setitem(operations.OPERATIONS, "blur", blur)
        network = DartsNetwork(Genotype.parse(text, operations=["blur"]), 4, 3)
        module = Recipe(network)
        content: dict[str, Any] = {"state_dict": module.state_dict()}
        module.on_save_checkpoint(content)
        torch.save(content, tmp_path / "blur.ckpt")
        x = torch.randn(2, 3, 16, 16)
        assert torch.equal(load(tmp_path / "blur.ckpt")(x), network.eval()(x))
    text = message(CheckpointError, load, tmp_path / "blur.ckpt")
    assert "'blur'" in text
    assert "must be in search_spaces.operations.OPERATIONS" in text


def test_an_operation_that_holds_more_than_weights(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, message: Any
) -> None:
    class Sharpen(nn.Module):
        """Needs a number out of its kernel to be made; the kernel is not among the weights."""

        def __init__(self, channels: int, stride: int) -> None:
            super().__init__()
            kernel = torch.tensor([[0.0, -1.0, 0.0], [-1.0, 5.0, -1.0], [0.0, -1.0, 0.0]])
            self.kernel = kernel / float(kernel.sum())
            self.stride = stride
            self.scale = nn.Parameter(torch.ones(channels, 1, 1, 1))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            weights = self.scale * self.kernel
            return nn.functional.conv2d(x, weights, None, self.stride, 1, groups=len(weights))

    monkeypatch.setitem(operations.OPERATIONS, "sharpen", lambda c, stride, _: Sharpen(c, stride))
    text = GENOTYPE.to_json().replace("avg_pool_3x3", "sharpen")
    network = DartsNetwork(Genotype.parse(text, operations=["sharpen"]), 4, 3)
    state = {f"network.{name}": value for name, value in network.state_dict().items()}
    content = {"state_dict": state, "nni_darts": describe(network, INPUT, TRAINING)}
    path = tmp_path / "sharpen.ckpt"
    torch.save(content, path)
    x = torch.randn(2, 3, 16, 16)
    assert torch.equal(load(path)(x), network.eval()(x))
    del state["network.classifier.weight"]
    torch.save(content, path)
    assert "classifier.weight is missing; load it" in message(CheckpointError, load, path)


# Where torch alone is installed

ALONE = """
import importlib.abc, sys
allowed = set(sys.argv[1].split(",")) | sys.stdlib_module_names | {"nni_darts", "search_spaces"}
refused = set()

class Blocker(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] not in allowed:
            refused.add(name)
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Blocker())
for name in list(sys.modules):
    if name.partition(".")[0] not in allowed | {"__main__"} and not name.startswith("__editable__"):
        sys.modules[name] = None
try:
    import numpy
except ImportError:
    pass
else:
    raise SystemExit("numpy was not refused")
import torch
from nni_darts import load
network = load(sys.argv[2])
x, y = torch.load(sys.argv[3])
assert torch.equal(network(x), y), "other outputs"
print(*sorted(refused))
"""


def needed_by_torch() -> set[str]:
    """Top-level modules of torch and of what it requires, without extras."""
    names, todo = set[str](), ["torch"]
    while todo:
        name = todo.pop()
        if name in names:
            continue
        names.add(name)
        try:
            requirements = importlib.metadata.requires(name) or []
        except importlib.metadata.PackageNotFoundError:
            continue  # for another platform
        for line in requirements:
            if "extra ==" not in line:
                todo.append(re.split(r"[^\w.-]", line)[0].lower().replace("_", "-"))
    return {
        module
        for module, packages in importlib.metadata.packages_distributions().items()
        if names & {package.lower().replace("_", "-") for package in packages}
    }


def test_torch_alone_is_enough(trained: tuple[DartsNetwork, Path], tmp_path: Path) -> None:
    network, folder = trained
    x = torch.randn(2, 3, 32, 32)
    with torch.no_grad():
        torch.save((x, network(x)), tmp_path / "expected.pt")
    allowed = needed_by_torch()
    assert {"torch", "sympy"} <= allowed
    assert allowed.isdisjoint({"numpy", "nni", "pytorch_lightning", "torchvision", "pydantic"})
    command = [sys.executable, "-c", ALONE, ",".join(allowed), folder / "full.ckpt"]
    run = subprocess.run(
        [*command, tmp_path / "expected.pt"],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert run.returncode == 0, run.stderr
    assert "numpy" in run.stdout.split()


@pytest.mark.filterwarnings("ignore")
def test_export_to_onnx(trained: tuple[DartsNetwork, Path], tmp_path: Path) -> None:
    import onnx
    import onnxruntime

    network = load(trained[1] / "full.ckpt")
    batch = torch.export.Dim("batch")
    path = tmp_path / "network.onnx"
    example = torch.randn(2, 3, 32, 32)
    torch.onnx.export(
        network, (example,), path, dynamo=True, dynamic_shapes=({0: batch},), verbose=False
    )
    onnx.checker.check_model(path)
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    (name,) = (tensor.name for tensor in session.get_inputs())
    for size in (1, 2, 7):
        x = torch.randn(size, 3, 32, 32)
        (y,) = session.run(None, {name: x.numpy()})
        torch.testing.assert_close(torch.from_numpy(y), network(x), rtol=1e-5, atol=1e-5)


# What gives no network


def test_no_such_file(tmp_path: Path, message: Any) -> None:
    path = tmp_path / "no.ckpt"
    assert message(CheckpointError, load, path) == (
        f"{path}: no such file; give the path of a checkpoint"
    )
    assert message(CheckpointError, load, tmp_path) == (
        f"{tmp_path}: is a folder; give the path of a checkpoint in it"
    )


def test_a_file_that_may_not_be_read(
    trained: tuple[DartsNetwork, Path], monkeypatch: pytest.MonkeyPatch, message: Any
) -> None:
    def deny(*args: Any) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("builtins.open", deny)
    text = message(CheckpointError, load, trained[1] / "full.ckpt")
    assert "full.ckpt: cannot be read ([Errno 13] Permission denied)" in text


@pytest.mark.parametrize("part", [0, 1, 100, 0.3, 0.9, -1])
def test_a_truncated_file(
    part: float, trained: tuple[DartsNetwork, Path], tmp_path: Path, message: Any
) -> None:
    whole = (trained[1] / "full.ckpt").read_bytes()
    end = int(part * len(whole)) if isinstance(part, float) else part
    path = tmp_path / "half.ckpt"
    path.write_bytes(whole[:end])
    assert message(CheckpointError, load, path) == (
        f"{path}: is not a complete checkpoint (File is not a zip file); take an earlier one or "
        "train again"
    )


def test_a_flipped_bit(trained: tuple[DartsNetwork, Path], tmp_path: Path, message: Any) -> None:
    network, folder = trained
    whole = bytearray((folder / "full.ckpt").read_bytes())
    weight = network.classifier.weight.detach().numpy().tobytes()
    whole[whole.index(weight) + 5] ^= 1
    path = tmp_path / "flipped.ckpt"
    path.write_bytes(whole)
    # torch would have loaded it.
    assert "state_dict" in torch.load(path)
    text = message(CheckpointError, load, path)
    assert re.search(r"is not a complete checkpoint \(\w+/data/\d+ is damaged\); take", text)


class Spy:
    ran = False

    def __init__(self) -> None:
        Spy.ran = True

    def __reduce__(self) -> Any:
        return Spy, ()


def test_a_file_that_needs_code(changed: Any, message: Any) -> None:
    path = changed(lambda content: content.update(extra=Spy()))
    Spy.ran = False
    text = message(CheckpointError, load, path)
    assert f"{path}: needs code to load (" in text
    assert "Spy), which could do anything" in text
    assert not Spy.ran


@pytest.mark.parametrize("content", [[1], torch.ones(2), {"state_dict": {}}, None])
def test_a_checkpoint_of_something_else(content: Any, tmp_path: Path, message: Any) -> None:
    torch.save(content, tmp_path / "other.ckpt")
    text = message(CheckpointError, load, tmp_path / "other.ckpt")
    assert "is not a checkpoint of a network trained here: it lacks the key 'nni_darts'" in text


WRONG: list[tuple[str, Any, str]] = [
    ("version", 2, "is of format 2, written by a newer nni_darts; this one reads format 1"),
    ("version", "1", "version must be of type int, got str"),
    ("genotype", 5, "genotype must be of type str, got int"),
    ("genotype", "Genotype(normal=", "genotype: not a genotype"),
    ("genotype", '{"recurrent": [["relu", 0]], "concat": [1]}', "unknown argument of the network"),
    ("genotype", GENOTYPE.to_json().replace("avg_pool_3x3", "avg_pool_9x9"), "did you mean"),
    ("genotype", GENOTYPE.to_json().replace("avg_pool_3x3", "tanh"), "unknown primitive 'tanh'"),
    ("network", None, "network must be of type dict, got NoneType"),
    ("network", {}, "channels must be of type int, got NoneType"),
    ("input", [], "input must be of type dict, got list"),
    ("input", {"image_size": 0}, "image_size must be at least 1, got 0"),
    ("input", {"mean": 0.5}, "mean must be of type list, got float"),
    ("input", {"std": ["a"]}, "std must be of type int or float, got str"),
    ("input", {"std": [float("nan")]}, "std must be finite, got nan"),
    ("input", {"words": "the"}, "words must be of type list, got str"),
    ("input", {"words": ["the", 5]}, "a word must be of type str, got int"),
    ("training", {}, "training must be of type str, got dict"),
]


@pytest.mark.parametrize(("field", "value", "expected"), WRONG)
def test_a_broken_description(
    field: str, value: Any, expected: str, changed: Any, message: Any
) -> None:
    path = changed(lambda content: content["nni_darts"].update({field: value}))
    text = message(CheckpointError, load, path)
    assert text.startswith(f"{path}: ")
    assert expected in text


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("chanels", 4, "unknown argument of the network 'chanels'; did you mean 'channels'?"),
        ("channels", 4.0, "channels must be of type int, got float"),
        ("channels", 7, "channels must be divisible by 2"),
        ("channels", 8, "must have shape (24, 3, 3, 3), got (12, 3, 3, 3) (and "),
        ("channels", 10**12, "do not fit its"),
        ("num_cells", True, "num_cells must be of type int, got bool"),
        ("num_cells", 10**9, "1000000000 cells of 4 channels do not fit its"),
        ("num_classes", 2**62, ""),
        ("auxiliary", 1, "auxiliary must be of type bool, got int"),
        ("auxiliary", False, "auxiliary.2.weight is not in the network (and "),
        ("stem", "mnist", "stem must be 'cifar' or 'imagenet', got 'mnist'"),
    ],
)
def test_broken_arguments(name: str, value: Any, expected: str, changed: Any, message: Any) -> None:
    path = changed(lambda content: content["nni_darts"]["network"].update({name: value}))
    text = message(CheckpointError, load, path)
    assert text.startswith(f"{path}: ")
    assert expected in text


@pytest.mark.parametrize("name", ["channels", "num_cells", "num_classes"])
def test_what_does_not_fit_takes_no_memory(
    name: str, changed: Any, message: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = changed(lambda content: content["nni_darts"]["network"].update({name: 100}))
    made: set[str] = set()
    register = nn.Module.register_parameter

    def watched(module: nn.Module, name: str, value: Any) -> None:
        made.update([] if value is None else [value.device.type])
        register(module, name, value)

    monkeypatch.setattr(nn.Module, "register_parameter", watched)
    assert "fit the network that it describes" in message(CheckpointError, load, path)
    assert made == {"meta"}


def test_weights_that_do_not_fit(changed: Any, message: Any) -> None:
    def error(change: Callable[[dict[str, Any]], Any]) -> str:
        return message(
            CheckpointError, load, changed(lambda content: change(content["state_dict"]))
        )

    name = "network.classifier.weight"
    assert "classifier.weight is missing; load it" in error(lambda s: s.pop(name))
    assert "new is not in the network; load it" in error(
        lambda s: s.update({"network.new": torch.ones(1)})
    )
    assert "classifier.weight must have shape (10, 32), got (3,); load it" in error(
        lambda s: s.update({name: torch.ones(3)})
    )
    assert "stem.both.0.weight is missing (and 1 more)" in error(
        lambda s: (s.pop("network.stem.both.0.weight"), s.update({name: torch.ones(3)}))
    )
    assert "network.classifier.weight must be of type Tensor, got int" in error(
        lambda s: s.update({name: 3})
    )
    assert "do not fit its 0 weights" in error(lambda s: s.clear())


def test_no_weights_at_all(changed: Any, message: Any) -> None:
    path = changed(lambda content: content.pop("state_dict"))
    assert "state_dict must be of type dict" in message(CheckpointError, load, path)


def test_a_description_needs_known_numbers() -> None:
    network = DartsNetwork(GENOTYPE, 4, 3)
    with pytest.raises(ValueError, match="image_size must be at least 1, got 0"):
        describe(network, {"image_size": 0}, "{}")
    with pytest.raises(TypeError, match="not JSON serializable"):
        describe(network, {"mean": torch.ones(3)}, "{}")
    assert copy.deepcopy(describe(network, INPUT, "{}"))["version"] == checkpoint.VERSION


# A recurrent network

WORDS = ["<eos>", "the", "cat", "sat", "on", "mat"]


@pytest.fixture
def recurrent(tmp_path: Path) -> tuple[DartsRNNNetwork, Callable[..., Path]]:
    """A network, and what writes its checkpoint with some arguments or weights changed."""
    text = "Genotype(recurrent=[('relu', 0), ('tanh', 1), ('identity', 1)], concat=[2, 3])"
    network = DartsRNNNetwork(Genotype.parse(text), len(WORDS), 4, 4, dropout_h=0.15, dropout_i=0)

    def write(change: Callable[[dict[str, Any]], Any] = lambda content: None) -> Path:
        content = {
            "state_dict": {f"network.{k}": v for k, v in network.state_dict().items()},
            "nni_darts": describe(network, {"words": WORDS}, TRAINING),
        }
        change(content)
        torch.save(content, tmp_path / "recurrent.ckpt")
        return tmp_path / "recurrent.ckpt"

    return network, write


def test_a_recurrent_network(recurrent: tuple[DartsRNNNetwork, Callable[..., Path]]) -> None:
    network, write = recurrent
    path = write()
    loaded = nni_darts.load(path)
    assert isinstance(loaded, DartsRNNNetwork)
    assert not loaded.training
    assert loaded.decoder.weight is loaded.embedding.weight
    assert loaded.arguments == network.arguments
    assert loaded.genotype == network.genotype
    assert read(path).input == {"words": WORDS}
    tokens, state = torch.randint(len(WORDS), (5, 3)), torch.randn(3, 4)
    for got, expected in zip(loaded(tokens, state), network.eval()(tokens, state), strict=True):
        assert torch.equal(got, expected)


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("vocabulary", 10**12, "1000000000000 words of 4 numbers and states of 4 do not fit its"),
        ("vocabulary", 5, "embedding.weight must have shape (5, 4), got (6, 4)"),
        ("hidden", 10**9, "and states of 1000000000 do not fit its"),
        ("hidden", 3, "embedding must equal hidden"),
        ("dropout_h", 1.0, "dropout_h must be in [0, 1), got 1.0"),
        ("dropout_h", "0.5", "dropout_h must be of type int or float, got str"),
        ("channels", 4, "unknown argument of the network 'channels'"),
    ],
)
def test_broken_arguments_of_a_recurrent_network(
    name: str,
    value: Any,
    expected: str,
    recurrent: tuple[DartsRNNNetwork, Callable[..., Path]],
    message: Any,
) -> None:
    def change(content: dict[str, Any]) -> None:
        content["nni_darts"]["network"][name] = value

    assert expected in message(CheckpointError, load, recurrent[1](change))


def test_a_recurrent_operation_of_the_users_own(
    recurrent: tuple[DartsRNNNetwork, Callable[..., Path]],
    monkeypatch: pytest.MonkeyPatch,
    message: Any,
) -> None:
    def rename(content: dict[str, Any]) -> None:
        text = content["nni_darts"]["genotype"].replace("identity", "swish")
        content["nni_darts"]["genotype"] = text

    path = recurrent[1](rename)
    assert "search_spaces.activations.ACTIVATIONS" in message(CheckpointError, load, path)
    monkeypatch.setitem(activations.ACTIVATIONS, "swish", nn.functional.silu)
    assert load(path).genotype.recurrent.nodes[2][0].operation == "swish"
