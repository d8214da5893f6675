"""One table of every primitive and every layer, with inputs to try them on, and wrong rules.

The tests and the report card of the gradients are made from it: a primitive without a row fails the
suite. `planted` makes wrong rules of right ones, to see whether a checker catches them.
"""

from minigrad.samples.convolutions import CONVOLUTIONS
from minigrad.samples.decompositions import DECOMPOSITIONS
from minigrad.samples.layers import LAYERS
from minigrad.samples.pointwise import ARITHMETIC, BROADCAST, ELEMENTWISE
from minigrad.samples.row import Row, leaves
from minigrad.samples.whole import PRODUCTS, REDUCTIONS, SHAPES
from minigrad.samples.windows import IMAGE_LAYERS, WINDOWS

ROWS: list[Row] = [
    *ARITHMETIC, *ELEMENTWISE, *BROADCAST, *SHAPES, *REDUCTIONS, *PRODUCTS, *CONVOLUTIONS, *WINDOWS,
    *DECOMPOSITIONS, *LAYERS, *IMAGE_LAYERS,
]  # fmt: skip
