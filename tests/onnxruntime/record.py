"""Writes networks with what onnxruntime makes of them, a folder each: `model.onnx`, `input.npy`,
`calibration.npy` and `expected.npy`.

    record.py DIR random FIRST COUNT   random networks, of the seeds FIRST, FIRST + 1, ...
    record.py DIR nodes                the ONNX project's own tests of single operators

Exit code 77, with a line that says why, where a module is missing.
"""

import sys
from pathlib import Path

try:
    import numpy as np
    import onnx
    import onnxruntime
    from onnx.backend.test.case.node import collect_testcases
    from onnx.reference import ReferenceEvaluator
except ImportError as error:
    print(f"Python lacks {error.name}")
    sys.exit(77)

import random_graphs

IMAGES, CALIBRATION_IMAGES = 3, 40
LARGEST = 1e6


def session(model: onnx.ModelProto) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    # What operators mean, not what fusions make of them.
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    return onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )


def write(folder: Path, model: onnx.ModelProto, images, calibration, expected) -> None:
    folder.mkdir(parents=True)
    onnx.save(model, folder / "model.onnx")
    np.save(folder / "input.npy", images)
    np.save(folder / "calibration.npy", calibration)
    np.save(folder / "expected.npy", expected)


def is_settled(model: onnx.ModelProto, image, output) -> bool:
    """Whether onnxruntime does what ONNX's reference does, where the two are known to differ: onnxruntime
    rounds the positions that nearest neighbours are looked up at."""
    if all(node.op_type not in ("Resize", "Upsample") for node in model.graph.node):
        return True
    reference = ReferenceEvaluator(model).run(None, {"image": image})[0]
    return reference.shape == output.shape and np.allclose(reference, output, rtol=1e-3, atol=1e-4)


def random_network(folder: Path, seed: int) -> None:
    """The first attempt of a seed that the checker and onnxruntime take."""
    for attempt in range(1000):
        network = random_graphs.Network(seed, attempt)
        try:
            model = network.model()
            onnx.checker.check_model(model, full_check=True)
            run = session(model).run
            images = network.normal(IMAGES, *network.input[1:])
            expected = np.concatenate([run(None, {"image": image[None]})[0] for image in images])
            if not is_settled(model, images[:1], expected[:1]):
                continue
        except Exception:  # Whatever is wrong with it: it is no valid network.
            continue
        if expected.shape[0] != IMAGES or not expected.size or np.abs(expected.astype(np.float64)).max() > LARGEST:
            continue
        # The images themselves are among those that ranges come from: what is tested is arithmetic.
        calibration = np.concatenate([images, network.normal(CALIBRATION_IMAGES, *network.input[1:])])
        return write(folder, model, images, calibration, expected)
    raise SystemExit(f"no valid network in 1000 attempts of seed {seed}")


def node_test(folder: Path, test) -> None:
    """A test of one operator: its first input is the image, the others become constants."""
    model, (inputs, _) = test.model, test.data_sets[0]
    image = inputs[0]
    if image.dtype != np.float32 or image.ndim != 4 or len(model.graph.output) != 1:
        return
    for value, info in zip(inputs[1:], list(model.graph.input)[1:]):
        model.graph.initializer.append(onnx.numpy_helper.from_array(value, info.name))
        model.graph.input.remove(info)
    # An image at a time, as everywhere.
    model.graph.input[0].type.tensor_type.shape.dim[0].dim_value = 1
    model.graph.output[0].type.tensor_type.ClearField("shape")
    name = model.graph.input[0].name
    run = session(model).run
    outputs = [run(None, {name: one[None]})[0] for one in image]
    if any(output.shape[:1] != (1,) for output in outputs):
        return
    write(folder, model, image, image, np.concatenate(outputs))


def main() -> None:
    out, kind = Path(sys.argv[1]), sys.argv[2]
    if kind == "random":
        first, count = int(sys.argv[3]), int(sys.argv[4])
        for seed in range(first, first + count):
            random_network(out / f"{seed}", seed)
        return
    for test in collect_testcases(None):
        try:
            node_test(out / test.name, test)
        except Exception:  # Operators, types and versions that onnxruntime does not take.
            continue


main()
