"""The requests that benchmarks send, as bytes, and the checks that their answers are right.

Messages come from tritonclient, so the bytes are those of a real client.
"""
import contextlib
import json

import numpy as np
import tritonclient.grpc as client
import tritonclient.utils.shared_memory as shm
from tritonclient.grpc import service_pb2 as pb

import figures as f


def _request(model, tensors):
    request = pb.ModelInferRequest(model_name=model, id="1")
    for name, datatype, array in tensors:
        tensor = request.inputs.add()
        tensor.name, tensor.datatype = name, datatype
        tensor.shape.extend(array.shape)
        request.raw_input_contents.append(array.tobytes())
    return f.grpc_body(request)


ROW = np.arange(16, dtype=np.int32).reshape(1, 16)
IMAGE = np.linspace(0, 1, 3 * 224 * 224, dtype=np.float32).reshape(1, 3, 224, 224)


def simple():
    return _request("simple", [("INPUT0", "INT32", ROW), ("INPUT1", "INT32", ROW)])


def simple_json():
    inputs = [
        {"name": name, "datatype": "INT32", "shape": [1, 16], "data": ROW.ravel().tolist()}
        for name in ("INPUT0", "INPUT1")
    ]
    return json.dumps({"inputs": inputs}).encode()


def large():
    return _request("image_mean", [("INPUT0", "FP32", IMAGE)])


def large_json():
    data = [float(f"{value:.7g}") for value in IMAGE.ravel()]
    inputs = [{"name": "INPUT0", "datatype": "FP32", "shape": list(IMAGE.shape), "data": data}]
    return json.dumps({"inputs": inputs}).encode()


def silero():
    sound = (np.sin(np.arange(512) / 7) / 2).astype(np.float32).reshape(1, 512)
    state = np.zeros((2, 1, 128), np.float32)
    rate = np.array(16000, np.int64)
    return _request(
        "silero_vad",
        [("input", "FP32", sound), ("state", "FP32", state), ("sr", "INT64", rate)],
    )


def ocr_cls():
    picture = np.linspace(-1, 1, 3 * 48 * 192, dtype=np.float32).reshape(1, 3, 48, 192)
    return _request("ocr_cls", [("x", "FP32", picture)])


def _infer(port, model, tensors):
    connection = client.InferenceServerClient(f"127.0.0.1:{port}")
    inputs = []
    for name, datatype, array in tensors:
        tensor = client.InferInput(name, array.shape, datatype)
        tensor.set_data_from_numpy(array)
        inputs.append(tensor)
    return connection.infer(model, inputs)


def check_simple(port):
    other = ROW[:, ::-1].copy()
    answer = _infer(port, "simple", [("INPUT0", "INT32", ROW), ("INPUT1", "INT32", other)])
    if not (answer.as_numpy("OUTPUT0") == ROW + other).all():
        raise RuntimeError("wrong sum")
    if not (answer.as_numpy("OUTPUT1") == ROW - other).all():
        raise RuntimeError("wrong difference")


def check_large(port):
    answer = _infer(port, "image_mean", [("INPUT0", "FP32", IMAGE)])
    if not np.allclose(answer.as_numpy("OUTPUT0"), IMAGE.mean(axis=(1, 2, 3)), atol=1e-4):
        raise RuntimeError("wrong mean")


@contextlib.contextmanager
def shared_tensor(port):
    """The large request with its tensor in shared memory."""
    connection = client.InferenceServerClient(f"127.0.0.1:{port}")
    region = shm.create_shared_memory_region("bench", "/tenon_bench", IMAGE.nbytes)
    try:
        shm.set_shared_memory_region(region, [IMAGE])
        connection.register_system_shared_memory("bench", "/tenon_bench", IMAGE.nbytes)
        request = pb.ModelInferRequest(model_name="image_mean", id="1")
        tensor = request.inputs.add()
        tensor.name, tensor.datatype = "INPUT0", "FP32"
        tensor.shape.extend(IMAGE.shape)
        tensor.parameters["shared_memory_region"].string_param = "bench"
        tensor.parameters["shared_memory_byte_size"].int64_param = IMAGE.nbytes
        yield f.grpc_body(request)
        connection.unregister_system_shared_memory("bench")
    finally:
        shm.destroy_shared_memory_region(region)
