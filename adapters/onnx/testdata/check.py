"""Checks models with onnx.checker, their shapes too, and prints each one's inputs and outputs.

    check.py MODEL...
"""
import sys

import onnx

for path in sys.argv[1:]:
    model = onnx.load(path)
    onnx.checker.check_model(model, full_check=True)
    shown = lambda v: f"{v.name}[{','.join(d.dim_param or str(d.dim_value) for d in v.type.tensor_type.shape.dim)}]"
    print(*map(shown, model.graph.input), "->", *map(shown, model.graph.output))
