"""The additive model of point and block, with any runs missing."""

from llem_runner._analysis.block_model import BlockFit, connected, fit_blocks, run_weights

__all__ = ["BlockFit", "connected", "fit_blocks", "run_weights"]
