"""Checks whether the energy counter of a board is exact at its updates, by loading the board."""
