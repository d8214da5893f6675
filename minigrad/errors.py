"""The errors of minigrad: each also inherits the builtin that a caller would expect to catch.

Every message has the form `<operation>: <what is wrong>: got <values>; expected <rule>`,
and is raised before any arithmetic.
"""


class ShapeError(ValueError):
    """Arrays whose sizes do not fit together, or do not fit the operation."""


class ArgumentError(ValueError):
    """A parameter outside its range, such as a negative stride or an unknown reduction."""


class DTypeError(TypeError):
    """An element type that the operation does not take."""


class DeviceError(TypeError):
    """Arrays on different devices, or a device that is not there."""


class GraphError(RuntimeError):
    """A derivative that the recorded graph cannot give."""


class NonFiniteError(FloatingPointError):
    """A NaN or an infinity where training needs a number."""


class WorkerError(RuntimeError):
    """Another worker failed, or does not do the same."""


class CheckpointError(ValueError):
    """A checkpoint that is damaged, or does not fit what it is loaded into."""


class DatasetError(OSError):
    """A dataset that is missing, damaged, or out of reach."""
