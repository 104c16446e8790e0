"""Perceptron: the torch module of the neural net, and how it is run."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from perennial.training.candidates.base import OUTPUT
from perennial.training.candidates.graph import constant, node

if TYPE_CHECKING:
    import numpy as np
    import onnx
    import torch

BLOCK = 65_536
"""Rows predicted at once, so that memory does not grow with the rows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """How the net's output becomes a prediction: brought back to units of the label, or a probability."""

    centre: float
    spread: float
    classifies: bool

    def apply(self, output: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        """The predictions, float64."""
        import numpy as np
        from scipy.special import expit

        return np.asarray(expit(output)) if self.classifies else output * self.spread + self.centre

    def nodes(self, output: str) -> tuple[list[onnx.NodeProto], list[onnx.TensorProto]]:
        """The same as ONNX nodes that yield `prediction`, and the constants that they read."""
        import numpy as np
        from onnx import TensorProto

        nodes = [node("Cast", [output], "answer", to=TensorProto.DOUBLE)]
        constants = []
        if self.classifies:
            nodes.append(node("Sigmoid", ["answer"], "centred"))
        else:
            constants = [constant("spread", np.array(self.spread)), constant("centre", np.array(self.centre))]
            nodes += [node("Mul", ["answer", "spread"], "spread_out"), node("Add", ["spread_out", "centre"], "centred")]
        return [*nodes, node("Cast", ["centred"], OUTPUT, to=TensorProto.FLOAT)], constants


@contextmanager
def one_thread() -> Iterator[None]:
    """Run torch on one thread, and give it back its threads afterwards."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def build_net(numbers: int, categories: Sequence[int], hidden: Sequence[int]) -> torch.nn.ModuleDict:
    """An untrained net for so many numbers and, per category feature, so many known categories."""
    from torch import nn

    sizes = [min(16, 1 + math.ceil(math.sqrt(known))) for known in categories]
    tables = [nn.Embedding(known + 1, size) for known, size in zip(categories, sizes, strict=True)]
    for table in tables:
        nn.init.normal_(table.weight, std=0.1)
        nn.init.zeros_(table.weight[0])
    widths = [numbers + sum(sizes), *hidden, 1]
    layers = [nn.Linear(before, after) for before, after in itertools.pairwise(widths)]
    return nn.ModuleDict({"embeddings": nn.ModuleList(tables), "layers": nn.ModuleList(layers)})


def forward(net: torch.nn.ModuleDict, numbers: torch.Tensor, coded: torch.Tensor) -> torch.Tensor:
    """One answer a row."""
    import torch

    embedded = [table(coded[:, i]) for i, table in enumerate(embeddings_of(net))]
    values = torch.cat([numbers, *embedded], dim=1)
    *hidden, last = layers_of(net)
    for layer in hidden:
        values = torch.relu(layer(values))
    answer: torch.Tensor = last(values)
    return answer[:, 0]


def predict_rows(net: torch.nn.ModuleDict, numbers: torch.Tensor, coded: torch.Tensor) -> torch.Tensor:
    """One answer a row, a block of rows at a time, without gradients."""
    import torch

    with torch.no_grad():
        pairs = zip(torch.split(numbers, BLOCK), torch.split(coded, BLOCK), strict=True)
        return torch.cat([forward(net, *pair) for pair in pairs])


def embeddings_of(net: torch.nn.ModuleDict) -> list[Any]:
    """The embedding of each category feature."""
    return list(net["embeddings"].children())


def layers_of(net: torch.nn.ModuleDict) -> list[Any]:
    """The linear layers, first to last."""
    return list(net["layers"].children())


def tensor(values: np.ndarray[Any, Any]) -> torch.Tensor:
    """`values` as float32."""
    import numpy as np
    import torch

    return torch.from_numpy(values.astype(np.float32))


def weights_of(weights: torch.Tensor) -> np.ndarray[Any, Any]:
    """The weights as an array."""
    return weights.detach().numpy()
