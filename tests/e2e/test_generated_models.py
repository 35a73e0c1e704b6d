"""The generated models are valid ONNX and compute what their names say: the oracle's own check."""

import numpy
import onnx
import onnxruntime
import pytest


def run(path, **inputs):
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(str(path), options).run(None, inputs)


def test_every_model_passes_the_checker(generated_models):
    paths = sorted(generated_models.glob('*/*/model.onnx'))
    assert len(paths) > 20
    for path in paths:
        onnx.checker.check_model(onnx.load(path), full_check=True)


def test_simple(model_path):
    a = numpy.arange(32, dtype=numpy.int32).reshape(2, 16)
    total, difference = run(model_path('simple'), INPUT0=a, INPUT1=a * 3)
    assert (total == a * 4).all() and (difference == a * -2).all()


def test_simple_string(model_path):
    a = numpy.array([[str(i) for i in range(16)]], dtype=object)
    total, difference = run(model_path('simple_string'), INPUT0=a, INPUT1=a)
    assert list(total[0]) == [str(2 * i) for i in range(16)]
    assert list(difference[0]) == ['0'] * 16


def test_accumulate(model_path):
    one = numpy.ones((1, 1), numpy.float32)
    output, state = run(model_path('accumulate'), INPUT0=one, STATE=one * 4)
    assert output[0, 0] == 5 and state[0, 0] == 5


@pytest.mark.parametrize('version', [1, 2, 3])
def test_versions_differ(model_path, version):
    zeros = numpy.zeros((1, 4), numpy.float32)
    assert (run(model_path('plus', version), INPUT0=zeros)[0] == version).all()


def test_slow_and_image_mean(model_path):
    assert run(model_path('slow'), LOOPS=numpy.array([3]))[0][0] == 1 / 64
    image = numpy.full((2, 3, 224, 224), 2, numpy.float32)
    assert (run(model_path('image_mean'), INPUT0=image)[0] == 2).all()


def test_pick_fails_while_it_runs(model_path):
    assert run(model_path('pick'), INDEX=numpy.array([3]))[0][0] == 40
    with pytest.raises(Exception, match='out of data bounds'):
        run(model_path('pick'), INDEX=numpy.array([7]))
