"""Draw a long curve with few points without losing its shape."""

from __future__ import annotations

import math

Point = tuple[int, float]


def largest_triangles(points: list[Point], most: int) -> list[Point]:
    """At most `most` (3 or more) of the points, in order, the first and the last among them.

    Largest-triangle-three-buckets (Steinarsson, Downsampling Time Series for Visual Representation, 2013): the points between are
    cut into equal buckets, and of each the one is kept that spans the largest triangle with the one kept before it and the mean
    of the next bucket. Values that are no numbers are passed over.
    """
    known = [point for point in points if math.isfinite(point[1])]
    if len(known) <= most:
        return known
    width = (len(known) - 2) / (most - 2)
    kept = [known[0]]
    for bucket in range(most - 2):
        begin, end = 1 + int(bucket * width), 1 + int((bucket + 1) * width)
        after = known[end : 1 + int((bucket + 2) * width)] or known[-1:]
        x_mean, y_mean = sum(x for x, _ in after) / len(after), sum(y for _, y in after) / len(after)
        x0, y0 = kept[-1]
        best = max(known[begin:end], key=lambda p: abs((x0 - x_mean) * (p[1] - y0) - (x0 - p[0]) * (y_mean - y0)))
        kept.append(best)
    return [*kept, known[-1]]
