"""How a block of cells becomes numbers."""

from landscape.surface.evaluators import batched as _batched  # noqa: F401 - registers itself
from landscape.surface.evaluators import graphed as _graphed  # noqa: F401
from landscape.surface.evaluators import sequential as _sequential  # noqa: F401
from landscape.surface.evaluators.base import EVALUATORS, Block, Cell, Evaluator, Measure, Planes, get
from landscape.surface.evaluators.mover import Mover

__all__ = ["EVALUATORS", "Block", "Cell", "Evaluator", "Measure", "Mover", "Planes", "get"]
