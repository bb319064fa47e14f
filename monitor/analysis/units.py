"""Units that are mixed up: ratios of powers of ten, time, length, weight and volume, and the scales of temperature."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from monitor.analysis.summary import Numbers

Floats = np.ndarray
_RATIOS = sorted(
    {10.0**power for power in range(-6, 7) if power}
    | {
        factor**sign
        for sign in (1, -1)
        for factor in (
            2.54,
            30.48,
            0.3048,
            1.609344,
            0.45359237,
            28.349523,
            3.785411784,
            60.0,
            3600.0,
            24.0,
            86400.0,
            1024.0,
        )
    }
)
# Each scale as Celsius times a factor plus an offset, and the temperatures that are plausible on it: what people,
# machines and weather have.
_SCALES = {
    "degrees Celsius": (1.0, 0.0, -90.0, 150.0),
    "degrees Fahrenheit": (1.8, 32.0, -130.0, 302.0),
    "kelvin": (1.0, 273.15, 183.0, 423.0),
}
# The fewest different values of a quantity, and of anything in a unit.
_FEWEST_OF_QUANTITY, _FEWEST_LEVELS = 20, 5
# The least share of the values that another scale must take out of the range that they had.
_OUT = 0.6


@dataclass(frozen=True)
class Unit:
    """Another unit: values were multiplied by a factor, then moved by an offset. scales: of temperature, before and
    after.
    """

    factor: float
    offset: float = 0.0
    scales: tuple[str, str] | None = None

    def of(self, values: Floats) -> Floats:
        """Values in this unit."""
        return values * self.factor + self.offset

    def undone(self, values: Floats) -> Floats:
        """Values in the unit that they had before."""
        return (values - self.offset) / self.factor

    def explains(self, before: float, after: float) -> bool:
        """Whether a middle has moved at least half as far as this unit moves it."""
        if self.scales is not None:
            moved = float(self.of(np.asarray(before))) - before
            return (after - before) * moved > 0 and abs(after - before) >= 0.5 * abs(moved)
        return after * before > 0 and abs(np.log(after / before)) >= 0.5 * abs(np.log(self.factor))


def units_of(before: Numbers) -> list[Unit]:
    """The units in which a column may be written; none where it has too few different values."""
    if before.distinct < _FEWEST_LEVELS:
        return []
    # A count that grows by 60 % is no count of miles, and what may be negative is no length, weight or time.
    is_quantity = before.low >= 0 and before.distinct >= _FEWEST_OF_QUANTITY and bool((before.values % 1 != 0).any())
    units = [Unit(ratio) for ratio in _RATIOS if is_quantity or abs(np.log10(ratio)) >= 1]
    if before.distinct >= _FEWEST_OF_QUANTITY:
        units += [unit for unit in _temperatures(before) if _goes_out(before, unit)]
    return units


def _temperatures(before: Numbers) -> list[Unit]:
    """From each scale on which the column's values are plausible temperatures to the others."""
    return [
        Unit(factor / own, offset - factor / own * start, (name, target))
        for name, (own, start, low, high) in _SCALES.items()
        if low <= before.low and before.high <= high
        for target, (factor, offset, _, _) in _SCALES.items()
        if target != name
    ]


def _goes_out(before: Numbers, unit: Unit) -> bool:
    moved = unit.of(before.values)
    return bool(((moved < before.low) | (moved > before.high)).mean() >= _OUT)
