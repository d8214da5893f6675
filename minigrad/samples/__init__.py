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

GROUPS: dict[str, list[Row]] = {
    "arithmetic": ARITHMETIC,
    "functions entry by entry": ELEMENTWISE,
    "spread over one another": BROADCAST,
    "moved entries": SHAPES,
    "reductions": REDUCTIONS,
    "products": PRODUCTS,
    "convolutions": CONVOLUTIONS,
    "windows and sizes": WINDOWS,
    "decompositions": DECOMPOSITIONS,
    "layers and losses": LAYERS,
    "layers of images": IMAGE_LAYERS,
}
ROWS: list[Row] = [row for rows in GROUPS.values() for row in rows]
