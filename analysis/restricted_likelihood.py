"""Maximum likelihood of two proportions under a given difference, the core of the score intervals of a
difference."""

from __future__ import annotations

import math


def restricted_proportions(x1: int, n1: int, x2: int, n2: int, difference: float) -> tuple[float, float]:
    """Maximum likelihood estimates (p1, p2) under p1 - p2 = `difference`, in fractions.

    The middle root of the likelihood cubic (Miettinen, Nurminen 1985, appendix; Farrington, Manning,
    Stat Med 1990;9:1447-1454).

    >>> restricted_proportions(5, 10, 5, 10, 0.0)
    (0.5, 0.5)
    """
    if difference == 0.0:
        p = (x1 + x2) / (n1 + n2)
        return p, p
    total = float(n1 + n2)
    b = ((n1 + 2.0 * n2) * difference - total - (x1 + x2)) / (3.0 * total)
    c = ((n2 * difference - total - 2.0 * x2) * difference + x1 + x2) / total
    d = x2 * difference * (1.0 - difference) / total
    offset = b**3 - b * c / 2.0 + d / 2.0
    radius = math.copysign(math.sqrt(max(b * b - c / 3.0, 0.0)), offset)
    cosine = min(1.0, max(-1.0, offset / radius**3)) if radius != 0.0 else 1.0
    p2 = 2.0 * radius * math.cos((math.pi + math.acos(cosine)) / 3.0) - b
    # Rounding can leave the square in which both probabilities live by an ulp.
    low, high = max(0.0, -difference), min(1.0, 1.0 - difference)
    p2 = min(max(p2, low), high)
    if min(p2 - low, high - p2) < 1e-4:
        p2 = _polished(x1, n1, x2, n2, difference, p2, low, high)
    return min(max(p2 + difference, 0.0), 1.0), p2


def _polished(x1: int, n1: int, x2: int, n2: int, difference: float, p2: float, low: float, high: float) -> float:
    """Safeguarded Newton on the likelihood equation where the cubic loses digits: a probability near 0 or 1."""

    def slope(p: float) -> tuple[float, float]:
        """First derivative of the log likelihood at p2 = p, and minus the second."""
        first = second = 0.0
        parts = ((x1, p + difference), (x1 - n1, 1.0 - difference - p), (x2, p), (x2 - n2, 1.0 - p))
        for count, probability in parts:
            if count and probability <= 0.0:
                return math.copysign(math.inf, count), math.inf
            if count:
                first += count / probability
                second += abs(count) / (probability * probability)
        return first, second

    if slope(low)[0] <= 0.0:
        return low
    if slope(high)[0] >= 0.0:
        return high
    for _ in range(100):
        first, second = slope(p2)
        low, high = (p2, high) if first > 0.0 else (low, p2)
        moved = p2 + first / second if math.isfinite(second) else low
        if not low < moved < high:
            moved = (low + high) / 2.0
        if abs(moved - p2) <= 1e-16 * moved:
            break
        p2 = moved
    return p2
