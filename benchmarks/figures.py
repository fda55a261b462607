"""The figures of all rounds, as those who report them ask for them."""

from __future__ import annotations

from statistics import median


class Missing(Exception):
    """A figure was not measured."""


class Figures:
    """Figures by library and key."""

    def __init__(self, rounds: dict[str, dict[str, list[float]]]) -> None:
        self._rounds = rounds

    def values(self, library: str, key: str) -> list[float]:
        """One of each time it was measured; empty when it never was."""
        return self._rounds.get(library, {}).get(key, [])

    def median(self, library: str, key: str) -> float:
        """The median of all rounds. Raises :class:`Missing`."""
        values = self.values(library, key)
        if not values:
            raise Missing("%s of %s" % (key, library))
        return median(values)
