from __future__ import annotations

from nni_darts.pictures.lettering import fitting, width_of


def test_what_does_not_fit_has_an_ellipsis_in_its_middle() -> None:
    name = "block_of_the_first_stage_kernel_size"
    short = fitting(name, 8, 80)
    start, end = short.split("…")
    assert name.startswith(start)
    assert name.endswith(end)
    assert 60 < width_of(short, 8) <= 80
    assert fitting(name, 8, 500) == name
    assert fitting(name, 8, 0) == "…"
    assert width_of(fitting("x" * 100_000, 8, 80), 8) <= 80
    assert len(fitting(name, 8, 80, bold=True)) < len(short)
