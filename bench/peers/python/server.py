"""The peer that a Python team would write: FastAPI on uvicorn around onnxruntime, REST v2 bodies.

usage: server.py MODEL.onnx PORT      prints "ready PORT" when it serves.
"""
import sys

import numpy as np
import onnxruntime as ort
import uvicorn
from fastapi import FastAPI, Request

DTYPES = {"INT32": np.int32, "FP32": np.float32, "INT64": np.int64}
NAMES = {np.dtype(v): k for k, v in DTYPES.items()}


def make_app(path):
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    session = ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    outputs = [output.name for output in session.get_outputs()]
    app = FastAPI()

    @app.get("/v2/health/ready")
    async def ready():
        return {}

    @app.post("/v2/models/{name}/infer")
    async def infer(name: str, request: Request):
        body = await request.json()
        feed = {
            item["name"]: np.array(item["data"], DTYPES[item["datatype"]]).reshape(item["shape"])
            for item in body["inputs"]
        }
        results = session.run(outputs, feed)
        return {
            "model_name": name,
            "model_version": "1",
            "outputs": [
                {
                    "name": output,
                    "datatype": NAMES[value.dtype],
                    "shape": list(value.shape),
                    "data": value.ravel().tolist(),
                }
                for output, value in zip(outputs, results)
            ],
        }

    return app


class Announcing(uvicorn.Server):
    async def startup(self, sockets=None):
        await super().startup(sockets)
        print("ready", self.servers[0].sockets[0].getsockname()[1], flush=True)


if __name__ == "__main__":
    config = uvicorn.Config(
        make_app(sys.argv[1]), host="127.0.0.1", port=int(sys.argv[2]), log_level="warning"
    )
    Announcing(config).run()
