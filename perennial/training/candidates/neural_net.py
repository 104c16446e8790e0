"""Neural net: a small multilayer perceptron in torch, with an embedding for each category."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import polars as pl

from perennial.errors import PerennialError
from perennial.objective import Task
from perennial.training.candidates.base import Fitted, LearningCurve, Rows
from perennial.training.candidates.graph import build_model, constant, node
from perennial.training.candidates.perceptron import (
    Answer,
    build_net,
    embeddings_of,
    forward,
    layers_of,
    one_thread,
    predict_rows,
    tensor,
    weights_of,
)
from perennial.training.candidates.preparation import (
    Scaling,
    classes_of,
    code_node,
    codes,
    frequent,
    labels_of,
    learn_scaling,
    names_of,
)
from perennial.training.candidates.selection import Selecting

if TYPE_CHECKING:
    import numpy as np
    import onnx
    import torch

    from perennial.featurization.expressions import Feature
    from perennial.objective import Objective


@dataclass(frozen=True, kw_only=True)
class NeuralNet(Selecting):
    """Scaled numbers and embedded categories through hidden layers of rectifiers.

    The loss follows the metric (L1 for mae, squared for rmse) on the standardised label; for a
    classification it is the log loss of the sigmoid of the net's answer, whatever the metric. The
    `max_categories` most frequent categories have an embedding each; all others, and one never seen,
    share one that starts at zero. Learns on one thread, and leaves torch's threads and global seed as
    it finds them: layers this small lose more to waiting for each other than they gain (85 against
    2 ms a step on two busy cores), and the sums do not depend on the machine.
    """

    tasks: ClassVar[frozenset[Task]] = frozenset({"regression", "binary classification"})

    name: str = "neural_net"
    hidden: tuple[int, ...] = (64, 32)
    epochs: int = 12
    batch_size: int = 512
    learning_rate: float = 1e-2
    """Of the first epoch; it falls to nearly nothing by the last, along half a cosine (Loshchilov and Hutter 2017),
    which reaches in 12 epochs the error that a constant rate reaches in 30."""
    patience: int = 4
    """Epochs without a better validation error before it stops; the best epoch is kept."""
    max_categories: int = 300

    def rate(self, epoch: int) -> float:
        """The learning rate of `epoch`, from 1; a fit of fewer rounds walks the same way and stops earlier."""
        return self.learning_rate * (1 + math.cos(math.pi * min(epoch - 1, self.epochs) / self.epochs)) / 2

    def fit(
        self,
        train: Rows,
        validation: Rows | None,
        *,
        features: Sequence[Feature],
        objective: Objective,
        seed: int,
        rounds: int | None = None,
    ) -> FittedNet:
        """Learn for `rounds` epochs, or until the validation rows are predicted no better."""
        import torch

        classifies = objective.task == "binary classification"
        label = (classes_of if classifies else labels_of)(train, where=self.name)
        used = self.chosen(train, label, features, classifies=classifies)
        inputs = Inputs(
            scaling=learn_scaling(train.features, names_of(used, "number")),
            categories={n: tuple(frequent(train.features[n], self.max_categories)) for n in names_of(used, "category")},
        )
        centre, spread = (0.0, 1.0) if classifies else (float(label.mean()), float(label.std()) or 1.0)
        with one_thread(), torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            net = build_net(inputs.scaling.width, [len(known) for known in inputs.categories.values()], self.hidden)
            learner = _Learner(net=net, policy=self, metric=objective.metric, spread=spread)
            data = (*inputs.apply(train.features), tensor((label - centre) / spread))
            judged = None
            if validation is not None:
                goal = tensor((labels_of(validation, where=self.name) - centre) / spread)
                judged = (*inputs.apply(validation.features), goal)
            curve, kept = learner.learn(data, judged, epochs=self.epochs if rounds is None else rounds)
        answer = Answer(centre=centre, spread=spread, classifies=classifies)
        return FittedNet(used, inputs, net, answer, curve=curve, rounds=kept)


@dataclass(frozen=True, slots=True, kw_only=True)
class Inputs:
    """What goes into the net: scaled numbers, and the code of each category."""

    scaling: Scaling
    categories: dict[str, tuple[str, ...]]

    def apply(self, frame: pl.DataFrame) -> tuple[torch.Tensor, torch.Tensor]:
        """The numbers, float32, and the codes, one column a category feature."""
        import numpy as np
        import torch

        columns = [codes(frame, name, known) for name, known in self.categories.items()]
        stacked = np.column_stack(columns) if columns else np.empty((frame.height, 0), dtype=np.int64)
        return tensor(self.scaling.apply(frame)), torch.from_numpy(stacked)


@dataclass(kw_only=True)
class _Learner:
    """One course of learning."""

    net: torch.nn.ModuleDict
    policy: NeuralNet
    metric: str
    spread: float

    def learn(
        self, data: Sequence[torch.Tensor], judged: Sequence[torch.Tensor] | None, *, epochs: int
    ) -> tuple[LearningCurve | None, int]:
        """The learning curve in units of the label, and how many epochs the net was kept at."""
        import torch

        optimizer = torch.optim.Adam(self.net.parameters())
        train: list[float] = []
        validation: list[float] = []
        best, kept = math.inf, epochs
        state = {name: value.clone() for name, value in self.net.state_dict().items()}
        for epoch in range(1, epochs + 1):
            for group in optimizer.param_groups:
                group["lr"] = self.policy.rate(epoch)
            train.append(self._one_epoch(data, optimizer, epoch))
            if judged is None:
                continue
            validation.append(self._error(judged))
            if validation[-1] < best:
                best, kept = validation[-1], epoch
                state = {name: value.clone() for name, value in self.net.state_dict().items()}
            elif epoch - kept >= self.policy.patience:
                break
        if judged is None:
            return None, kept
        self.net.load_state_dict(state)
        loss = "log_loss" if self.metric == "brier" else None
        return LearningCurve(train=tuple(train), validation=tuple(validation), loss=loss), kept

    def _one_epoch(self, data: Sequence[torch.Tensor], optimizer: torch.optim.Optimizer, epoch: int) -> float:
        import torch

        total, rows = 0.0, len(data[-1])
        for batch in torch.split(torch.randperm(rows), self.policy.batch_size):
            numbers, coded, label = (part[batch] for part in data)
            optimizer.zero_grad()
            loss = self._loss(forward(self.net, numbers, coded), label)
            if not math.isfinite(loss.item()):
                raise PerennialError(
                    "learning diverged",
                    where=self.policy.name,
                    found=f"loss {loss.item()} in epoch {epoch}",
                    expected="a finite loss",
                    hint=f"lower learning_rate, now {self.policy.learning_rate}",
                )
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            total += loss.item() * len(batch)
        return self._in_units(total / rows)

    def _error(self, data: Sequence[torch.Tensor]) -> float:
        numbers, coded, label = data
        return self._in_units(self._loss(predict_rows(self.net, numbers, coded), label).item())

    def _loss(self, predicted: torch.Tensor, label: torch.Tensor) -> torch.Tensor:
        from torch.nn import functional

        losses = {"mae": functional.l1_loss, "rmse": functional.mse_loss}
        return losses.get(self.metric, functional.binary_cross_entropy_with_logits)(predicted, label)

    def _in_units(self, loss: float) -> float:
        return self.spread * (math.sqrt(loss) if self.metric == "rmse" else loss)


class FittedNet(Fitted):
    """A learned net; its state lives in memory only."""

    def __init__(
        self,
        used: tuple[Feature, ...],
        inputs: Inputs,
        net: torch.nn.ModuleDict,
        answer: Answer,
        *,
        curve: LearningCurve | None,
        rounds: int,
    ) -> None:
        self.used = used
        self.inputs = inputs
        self.net = net
        self.answer = answer
        self.curve = curve
        self.rounds = rounds
        self.parameters = {"rounds": rounds, "weights": sum(p.numel() for p in net.parameters()), "features": len(used)}

    def predict(self, features: pl.DataFrame) -> np.ndarray[Any, Any]:
        """The net's answers, back in units of the label, or as probabilities."""
        import numpy as np

        return self.answer.apply(predict_rows(self.net, *self.inputs.apply(features)).numpy().astype(np.float64))

    def to_onnx(self) -> bytes:
        """The graph, written node by node.

        torch's exporter takes seconds and cannot express the texts and the scaling in front of the
        net, while the net itself is three kinds of nodes: Gather, Gemm and Relu.
        """
        import numpy as np
        from onnx import TensorProto

        nodes: list[onnx.NodeProto] = []
        constants: list[onnx.TensorProto] = []
        parts: list[str] = []
        if self.inputs.scaling.names:
            nodes, constants = self.inputs.scaling.nodes("numbers_double")
            nodes.append(node("Cast", ["numbers_double"], "numbers", to=TensorProto.FLOAT))
            parts.append("numbers")
        shape = constant("flat", np.array([0, -1]))
        for i, (name, known) in enumerate(self.inputs.categories.items()):
            nodes.append(code_node(name, known, f"code_{i}"))
            nodes.append(node("Gather", [f"embedding_{i}", f"code_{i}"], f"gathered_{i}"))
            nodes.append(node("Reshape", [f"gathered_{i}", "flat"], f"embedded_{i}"))
            constants.append(constant(f"embedding_{i}", weights_of(embeddings_of(self.net)[i].weight)))
            parts.append(f"embedded_{i}")
        nodes.append(node("Concat", parts, "layer_0", axis=1))
        last = self._add_layers(nodes, constants)
        answered, more = self.answer.nodes(last)
        return build_model(self.used, [*nodes, *answered], [*constants, shape, *more])

    def _add_layers(self, nodes: list[onnx.NodeProto], constants: list[onnx.TensorProto]) -> str:
        """The layers as Gemm and Relu, from `layer_0`; the name of the last output."""
        layers = layers_of(self.net)
        last = "layer_0"
        for i, layer in enumerate(layers, start=1):
            constants.append(constant(f"weight_{i}", weights_of(layer.weight)))
            constants.append(constant(f"bias_{i}", weights_of(layer.bias)))
            nodes.append(node("Gemm", [last, f"weight_{i}", f"bias_{i}"], f"layer_{i}", transB=1))
            last = f"layer_{i}"
            if i < len(layers):
                nodes.append(node("Relu", [last], f"relu_{i}"))
                last = f"relu_{i}"
        return last
