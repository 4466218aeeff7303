from __future__ import annotations

import re
from pathlib import Path

import pytest
from drawings import EVIL, require_harmless
from histories import records, reports
from PIL import Image

from nni_darts.genotypes import published
from nni_darts.genotypes.genotype import Genotype
from nni_darts.pictures import drawing

# Files


def ids(genotype: Genotype) -> set[str]:
    """How an SVG names the edges."""
    return {
        f"{cell.kind}-{node}-{source}-{operation}"
        for cell in genotype.cells
        for node, edges in enumerate(cell.nodes, cell.num_inputs)
        for operation, source in edges
    }


@pytest.mark.parametrize("name", ["DARTS_V2", "RNN_DARTS_V2"])
def test_an_svg(name: str, tmp_path: Path) -> None:
    genotype = published.get(name)
    path = tmp_path / "cell.svg"
    drawing.draw(genotype, path, title="$ a <title> & more")
    svg = path.read_text()
    assert ids(genotype) <= set(re.findall(r'id="([^"]*)"', svg))
    assert "fill: #ffffff" in svg  # the page may be dark


def test_a_png_on_white(tmp_path: Path) -> None:
    drawing.draw(published.get("DARTS_V2"), tmp_path / "new" / "cell.PNG")
    with Image.open(tmp_path / "new" / "cell.PNG") as image:
        assert image.width > 600
        assert image.convert("RGBA").getpixel((2, 2)) == (255, 255, 255, 255)


@pytest.mark.parametrize("name", ["cell.gif", "cell", "svg", "cell.svg.txt"])
def test_other_formats_are_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"must end in one of \.svg, \.png, \.pdf; got"):
        drawing.draw(published.get("DARTS_V2"), tmp_path / name)
    with pytest.raises(ValueError, match="must end in one of"):
        drawing.plot_history(records(reports(1)), tmp_path / name)
    assert list(tmp_path.iterdir()) == []


def test_what_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "folder.svg").mkdir()
    for name in ("file/cell.svg", "folder.svg"):
        with pytest.raises(ValueError, match="cannot write ") as error:
            drawing.draw(published.get("RNN_DARTS_V2"), tmp_path / name)
        assert "\n" not in str(error.value)
    assert {path.name for path in tmp_path.iterdir()} == {"file", "folder.svg"}


def test_a_title_may_be_anything(tmp_path: Path) -> None:
    drawing.draw(published.get("DARTS_V2"), tmp_path / "cell.svg", title=EVIL)
    require_harmless((tmp_path / "cell.svg").read_bytes())


def test_the_same_picture_is_the_same_file(tmp_path: Path) -> None:
    for name in ("a.svg", "b.svg"):
        drawing.draw(published.get("DARTS_V2"), tmp_path / name)
    assert (tmp_path / "a.svg").read_bytes() == (tmp_path / "b.svg").read_bytes()
