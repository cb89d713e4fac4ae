"""Business logic of the Triton model `early_exits`: it calls the models of the graphs, one after another, over BLS.

Triton's Python backend loads this file as early_exits/1/model.py, with exit_loop.py and exits.json beside it.
Inputs: ids INT64 [n], max_new_tokens INT32 [1]. Outputs: tokens INT64 [m], depths INT32 [m].
"""
import json
from pathlib import Path

import numpy as np
import triton_python_backend_utils as pb_utils

from exit_loop import ExitDecoder


class TritonPythonModel:
    def initialize(self, _args):
        manifest = json.loads((Path(__file__).parent / "exits.json").read_text(encoding="utf-8"))
        self.decoder = ExitDecoder(manifest, run)

    def execute(self, requests):
        return [self._answer(request) for request in requests]

    def _answer(self, request):
        ids = pb_utils.get_input_tensor_by_name(request, "ids").as_numpy().tolist()
        limit = pb_utils.get_input_tensor_by_name(request, "max_new_tokens").as_numpy()
        try:
            tokens = list(self.decoder.generate(ids, int(limit[0])))
        except RuntimeError as error:
            return pb_utils.InferenceResponse(error=pb_utils.TritonError(str(error)))
        return pb_utils.InferenceResponse(
            output_tensors=[
                pb_utils.Tensor("tokens", np.array([token[0] for token in tokens], np.int64)),
                pb_utils.Tensor("depths", np.array([token[1] for token in tokens], np.int32)),
            ]
        )


def run(graph, feeds, outputs):
    """Runs the model of a graph: "stretch-0.onnx" is the model "stretch-0"."""
    request = pb_utils.InferenceRequest(
        model_name=graph.removesuffix(".onnx"),
        inputs=[pb_utils.Tensor(name, np.ascontiguousarray(array)) for name, array in feeds.items()],
        requested_output_names=outputs,
    )
    response = request.exec()
    if response.has_error():
        raise RuntimeError(response.error().message())
    return {name: pb_utils.get_output_tensor_by_name(response, name).as_numpy() for name in outputs}
