"""Graph: the pieces that every exported model is put together from.

One input a used feature, shape (rows, 1): float32 with NaN for a null, or string with "" for a null.
One output, `prediction`, shape (rows, 1), float32.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from perennial.training.candidates.base import OUTPUT

if TYPE_CHECKING:
    import numpy as np
    import onnx

    from perennial.featurization.expressions import Feature

OPSET = 18
ML_OPSET = 3
IR_VERSION = 10
"""What onnxruntime 1.19 and later read, so that a bundle outlives the server's next upgrade."""


def node(operator: str, inputs: Sequence[str], output: str, *, domain: str = "", **attributes: Any) -> onnx.NodeProto:
    """One node, named after its only output."""
    from onnx import helper

    return helper.make_node(operator, list(inputs), [output], name=output, domain=domain, **attributes)


def constant(name: str, values: np.ndarray[Any, Any]) -> onnx.TensorProto:
    """`values` as an initializer that nodes read by `name`."""
    from onnx import numpy_helper

    return numpy_helper.from_array(values, name)


def build_model(
    features: Sequence[Feature], nodes: Sequence[onnx.NodeProto], constants: Sequence[onnx.TensorProto] = ()
) -> bytes:
    """The checked model with an input for each of `features`; the last of `nodes` yields `prediction`."""
    from onnx import TensorProto, checker, helper

    types = {"number": TensorProto.FLOAT, "category": TensorProto.STRING}
    graph = helper.make_graph(
        list(nodes),
        "perennial",
        [helper.make_tensor_value_info(f.name, types[f.kind], [None, 1]) for f in features],
        [helper.make_tensor_value_info(OUTPUT, TensorProto.FLOAT, [None, 1])],
        list(constants),
    )
    opsets = [helper.make_opsetid("", OPSET), helper.make_opsetid("ai.onnx.ml", ML_OPSET)]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=IR_VERSION, producer_name="perennial")
    checker.check_model(model, full_check=True)
    return bytes(model.SerializeToString(deterministic=True))
