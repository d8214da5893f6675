"""Pictures: images in a grid, and the graph of derivatives with what a sweep does in it."""

from minigrad.draw.diagram import Graph, graph
from minigrad.draw.images import make_grid, png, save_image
from minigrad.draw.steps import backward_steps
