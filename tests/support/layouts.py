"""What every layout of a picture must keep."""

from __future__ import annotations

import itertools

from nni_darts.pictures.layered_layout import Layout, Rectangle


def points_of(route: list[tuple[float, float]]) -> list[tuple[float, float]]:
    """Points along a route, close to each other: curves as they are drawn, then straight lines."""
    points = []
    for i in range(0, len(route), 2):
        (x0, y0), (x1, y1) = route[i : i + 2]
        for step in range(25):
            t = step / 24
            x = x0 * (1 - t) ** 3 + 1.5 * (x0 + x1) * (1 - t) * t + x1 * t**3
            points.append((x, y0 + (y1 - y0) * (3 * t**2 - 2 * t**3)))
        if i + 2 < len(route):
            (x2, y2) = route[i + 2]
            points += [(x1 + (x2 - x1) * k / 12, y1 + (y2 - y1) * k / 12) for k in range(13)]
    return points


def covers(at: Rectangle, point: tuple[float, float], margin: float = 0.5) -> bool:
    x, y = point
    return abs(x - at.x) < at.width / 2 - margin and abs(y - at.y) < at.height / 2 - margin


def require_clear(layout: Layout, ends: list[tuple[int, int]]) -> None:
    """No label or box covers another; no link passes any but its own label."""
    labels = {i: label for i, label in enumerate(layout.labels) if label is not None}
    for a, b in itertools.combinations([*layout.boxes, *labels.values()], 2):
        assert not a.overlaps(b)
    for i, route in enumerate(layout.routes):
        points = points_of(route)
        for j, label in labels.items():
            assert i == j or not any(covers(label, point) for point in points)
        for box in layout.boxes:
            assert not any(covers(box, point) for point in points)
        if i in labels:
            assert any(covers(labels[i], point) for point in points)
        start, end = layout.boxes[ends[i][0]], layout.boxes[ends[i][1]]
        assert route[0][0] == start.right
        assert route[-1][0] == end.left
    for at in [*layout.boxes, *labels.values()]:
        assert -1e-6 <= at.left < at.right <= layout.width + 1e-6
        assert -1e-6 <= at.y - at.height / 2 < at.y + at.height / 2 <= layout.height + 1e-6
