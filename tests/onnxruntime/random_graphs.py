"""Random networks of the operators that convolutional networks are made of, in every form that ONNX
gives them. A seed gives the same network wherever numpy draws the same numbers."""

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper, shape_inference

OPSETS = [7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21]
# The format that an opset came with, since onnxruntime refuses newer ones.
IR_VERSION = 8
MAX_ELEMENTS = 6000


class Dead(Exception):
    """The network cannot go on from here; the next attempt of the seed starts afresh."""


# How often a form is drawn that Trefoil refuses today: seldom, since a network that is refused tests little.
SELDOM = 0.05


class Network:
    """A network under construction: nodes, initializers, and the shape of every value."""

    def __init__(self, seed: int, attempt: int):
        self.rng = np.random.default_rng([seed, attempt])
        self.opset = int(self.rng.choice(OPSETS))
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []
        self.shapes: dict[str, tuple[int, ...]] = {}
        self.count = 0
        channels = int(self.rng.integers(1, 5))
        height, width = (int(self.rng.integers(5, 15)) for _ in range(2))
        self.input = (1, channels, height, width)
        self.shapes["image"] = self.input

    # ---- Draws ------------------------------------------------------------------------------

    def chance(self, probability: float) -> bool:
        return bool(self.rng.random() < probability)

    def pick(self, choices):
        return choices[int(self.rng.integers(len(choices)))]

    def integer(self, low: int, high: int) -> int:
        """Of low to high, both included."""
        return int(self.rng.integers(low, high + 1))

    def normal(self, *dims: int, size: float = 1.0) -> np.ndarray:
        return (self.rng.standard_normal(dims) * size).astype(np.float32)

    # ---- Construction -----------------------------------------------------------------------

    def name(self, stem: str) -> str:
        self.count += 1
        return f"{stem}_{self.count}"

    def constant(self, values: np.ndarray, stem: str = "c") -> str:
        """A constant: mostly an initializer, sometimes a node, sometimes behind another node."""
        name = self.name(stem)
        tensor = numpy_helper.from_array(np.ascontiguousarray(values), name)
        if self.chance(0.15):
            self.nodes.append(helper.make_node("Constant", [], [name], value=tensor))
        else:
            self.constants.append(tensor)
        if self.chance(0.05):
            copy = self.name(stem)
            self.nodes.append(helper.make_node("Identity", [name], [copy]))
            return copy
        return name

    def integers(self, values) -> str:
        return self.constant(np.array(values, np.int64))

    def scalar(self, value: float) -> str:
        return self.constant(np.array(value, np.float32))

    def add(self, op: str, operands: list[str], outputs: int = 1, **attributes) -> list[str]:
        """Adds a node; the shapes of its results must be inferable and within measure."""
        names = [self.name(op.lower()) for _ in range(outputs)]
        node = helper.make_node(op, operands, names, name=self.name(op), **attributes)
        shapes = self.infer(node, names)
        self.nodes.append(node)
        self.shapes.update(shapes)
        return names

    def one(self, op: str, operands: list[str], **attributes) -> str:
        return self.add(op, operands, **attributes)[0]

    def infer(self, node: onnx.NodeProto, names: list[str]) -> dict[str, tuple[int, ...]]:
        known = [self.info(n) for n in node.input if n in self.shapes]
        outputs = [onnx.ValueInfoProto(name=name) for name in names]
        graph = helper.make_graph(
            [*(n for n in self.nodes if n.op_type in ("Constant", "Identity")), node],
            "one",
            known,
            outputs,
            self.constants,
        )
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", self.opset)])
        inferred = shape_inference.infer_shapes(model, strict_mode=True, data_prop=True)
        shapes = {}
        for value in inferred.graph.output:
            dims = tuple(d.dim_value for d in value.type.tensor_type.shape.dim)
            if value.name not in names:
                continue
            if not dims or min(dims) < 1 or int(np.prod(dims)) > MAX_ELEMENTS:
                raise Dead(f"{node.op_type} gives {dims}")
            shapes[value.name] = dims
        return shapes

    def info(self, name: str) -> onnx.ValueInfoProto:
        return helper.make_tensor_value_info(name, TensorProto.FLOAT, self.shapes[name])

    # ---- Layers -----------------------------------------------------------------------------

    def window(self, x: str, kernel: list[int], pools: bool) -> dict:
        """Strides, padding and dilations of a window that fits."""
        attributes: dict = {"kernel_shape": kernel}
        if not pools and self.chance(0.2):
            del attributes["kernel_shape"]
        dilations = [1, 1]
        if self.chance(0.25) and (not pools or self.opset >= 10):
            dilations = [self.integer(1, 3) for _ in range(2)]
            attributes["dilations"] = dilations
        if self.chance(0.6):
            attributes["strides"] = [self.integer(1, 3) for _ in range(2)]
        form = self.integer(0, 4)
        if form == 0:
            attributes["auto_pad"] = self.pick(["SAME_UPPER", "SAME_LOWER", "VALID"])
        elif form <= 2:
            largest = [d * (k - 1) if not pools else k - 1 for k, d in zip(kernel, dilations)]
            begin = [self.integer(0, max(0, m)) for m in largest]
            end = [self.integer(0, max(0, m)) for m in largest]
            attributes["pads"] = begin + end
        return attributes

    def conv(self, x: str) -> str:
        channels = self.shapes[x][1]
        groups = self.pick([g for g in range(1, channels + 1) if channels % g == 0])
        outputs = groups * self.integer(1, 3)
        kernel = [self.integer(1, 4) for _ in range(2)]
        fan_in = channels // groups * kernel[0] * kernel[1]
        weight = self.normal(outputs, channels // groups, *kernel, size=fan_in**-0.5)
        operands = [x, self.constant(weight, "w")]
        if self.chance(0.6):
            operands.append(self.constant(self.normal(outputs, size=0.3), "b"))
        attributes = self.window(x, kernel, pools=False)
        if groups > 1 or self.chance(0.3):
            attributes["group"] = groups
        return self.one("Conv", operands, **attributes)

    def batch_norm(self, x: str) -> str:
        channels = self.shapes[x][1]
        scale = self.normal(channels) + np.float32(self.pick([1.0, 0.0]))
        variance = np.abs(self.normal(channels)) + np.float32(0.1)
        parts = [scale, self.normal(channels), self.normal(channels), variance]
        attributes: dict = {}
        if self.chance(0.5):
            attributes["epsilon"] = self.pick([1e-5, 1e-3, 0.1])
        if self.chance(0.3):
            attributes["momentum"] = 0.9
        if self.opset < 9 and self.chance(0.5):
            attributes["spatial"] = 1
        if self.opset >= 14 and self.chance(0.3):
            attributes["training_mode"] = 0
        return self.one("BatchNormalization", [x, *map(self.constant, parts)], **attributes)

    def bounds(self) -> tuple[float | None, float | None]:
        far = [1e3, 1e4, 1e6, 1e9, 1e30, float(np.finfo(np.float32).max)]
        low = self.pick([None, 0.0, -1.0, -0.5, 0.25, -self.pick(far)])
        high = self.pick([None, 6.0, 1.0, 2.5, -0.1, self.pick(far)])
        if low is not None and high is not None and low >= high:
            low = None
        return low, high

    def clip(self, x: str) -> str:
        low, high = self.bounds()
        form = self.integer(0, 2)
        if form == 0 and self.opset >= 12 or (form == 0 and self.opset >= 8):
            if low is not None:
                x = self.one("Max", self.shuffled([x, self.scalar(low)]))
            return x if high is None else self.one("Min", self.shuffled([x, self.scalar(high)]))
        if self.opset < 11:
            bounds = {"min": low, "max": high}
            return self.one("Clip", [x], **{k: v for k, v in bounds.items() if v is not None})
        operands = ["" if b is None else self.scalar(b) for b in (low, high)]
        while operands and not operands[-1]:
            operands.pop()
        return self.one("Clip", [x, *operands])

    def shuffled(self, operands: list[str]) -> list[str]:
        return [operands[i] for i in self.rng.permutation(len(operands))]

    def relu(self, x: str) -> str:
        return self.one("Relu", [x])

    def pool(self, x: str) -> str:
        op = self.pick(["MaxPool", "AveragePool"])
        kernel = [self.integer(1, 4) for _ in range(2)]
        attributes = self.window(x, kernel, pools=True)
        if op == "AveragePool" and self.opset < 19:
            attributes.pop("dilations", None)
        if self.chance(0.35) and self.opset >= 10:
            attributes["ceil_mode"] = self.pick([0, 1])
        if op == "AveragePool" and self.chance(0.5):
            attributes["count_include_pad"] = self.pick([0, 1])
        return self.one(op, [x], **attributes)

    def global_pool(self, x: str) -> str:
        form = self.integer(0, 3)
        if form == 0:
            return self.one("GlobalAveragePool", [x])
        if form == 1:
            return self.one("GlobalMaxPool", [x])
        axes = self.pick([[2, 3], [-1, -2], [3, 2], [-2, -1]])
        op = self.pick(["ReduceMean", "ReduceMax"])
        attributes: dict = {"keepdims": self.pick([0, 1])} if self.chance(0.7) else {}
        if self.opset >= 18:
            return self.one(op, [x, self.integers(axes)], **attributes)
        return self.one(op, [x], axes=axes, **attributes)

    def resize(self, x: str) -> str:
        height, width = self.shapes[x][2:]
        target = [self.integer(1, 16), self.integer(1, 16)]
        mode = self.pick(["nearest", "nearest", "linear"])
        # The next float up, so that rounding down gives the size that is meant.
        factor = lambda new, old: np.nextafter(np.float32(new / old), np.float32(np.inf))
        simple = [self.pick([1.0, 2.0, 3.0, 1.5, 0.5]) for _ in range(2)]
        exact = [np.float32(new / old) for new, old in zip(target, (height, width))]
        above = [factor(new, old) for new, old in zip(target, (height, width))]
        scales = np.array([1, 1, *self.pick([simple, exact, above])], np.float32)
        if self.opset < 9:
            return self.one("Upsample", [x], mode=mode, scales=[float(max(1.0, s)) for s in scales])
        if self.opset < 10:
            return self.one("Upsample", [x, self.constant(np.maximum(scales, 1))], mode=mode)
        if self.opset < 11:
            return self.one("Resize", [x, self.constant(scales)], mode=mode)
        coordinates = ["half_pixel", "pytorch_half_pixel", "align_corners", "asymmetric"]
        attributes = {"mode": mode, "coordinate_transformation_mode": self.pick(coordinates)}
        if mode == "nearest":
            rounding = ["round_prefer_floor", "round_prefer_ceil", "floor", "ceil"]
            attributes["nearest_mode"] = self.pick(rounding)
        if self.chance(0.25):
            attributes = {"mode": mode}
        empty = "" if self.opset >= 13 else self.constant(np.zeros(0, np.float32))
        if self.chance(0.6):
            sizes = self.integers([*self.shapes[x][:2], *target])
            unused = "" if self.opset >= 13 else self.constant(np.zeros(0, np.float32))
            return self.one("Resize", [x, empty, unused, sizes], **attributes)
        return self.one("Resize", [x, empty, self.constant(scales)], **attributes)

    def pad(self, x: str) -> str:
        amounts = [0, self.integer(0, 1) * self.integer(0, 2)]
        amounts += [self.integer(0, 3) for _ in range(2)]
        least = -1 if self.chance(SELDOM) else 0
        amounts += [0, self.integer(0, 1)] + [self.integer(least, 3) for _ in range(2)]
        mode = self.pick(["reflect", "edge"]) if self.chance(SELDOM) else "constant"
        if mode != "constant":
            amounts[1] = amounts[5] = 0
            amounts = [max(0, a) for a in amounts]
        value = self.pick([0.5, -1.0]) if self.chance(SELDOM) else 0.0
        attributes = {"mode": mode} if mode != "constant" or self.chance(0.5) else {}
        if self.opset < 11:
            return self.one("Pad", [x], pads=amounts, value=value, **attributes)
        if self.opset >= 18 and self.chance(0.3):
            spatial = [amounts[2], amounts[3], amounts[6], amounts[7]]
            operands = [x, self.integers(spatial), self.scalar(value), self.integers([2, -1])]
            return self.one("Pad", operands, **attributes)
        operands = [x, self.integers(amounts)]
        if value or self.chance(0.3):
            operands.append(self.scalar(value))
        return self.one("Pad", operands, **attributes)

    def slice(self, x: str) -> str:
        axis = self.integer(1, len(self.shapes[x]) - 1)
        size = self.shapes[x][axis]
        start = self.integer(-size, size - 1)
        end = self.pick([self.integer(-size, size + 2), 2**31 - 1, 2**63 - 1, size])
        step = self.integer(1, 2)
        if self.chance(SELDOM):
            start, end, step = self.pick([-1, size - 1]), -(2**31), -self.integer(1, 2)
        if self.chance(0.3):
            axis -= len(self.shapes[x])
        if self.opset < 10:
            if step < 0:
                raise Dead("no steps before opset 10")
            return self.one("Slice", [x], starts=[start], ends=[end], axes=[axis])
        parts = [[start], [end], [axis]] + ([[step]] if step != 1 or self.chance(0.3) else [])
        return self.one("Slice", [x, *map(self.integers, parts)])

    def split(self, x: str) -> str:
        axis = self.integer(1, len(self.shapes[x]) - 1) if self.chance(SELDOM) else 1
        size = self.shapes[x][axis]
        if size < 2:
            raise Dead("nothing to split")
        first = self.integer(1, size - 1)
        if self.opset < 13:
            parts = self.add("Split", [x], outputs=2, axis=axis, split=[first, size - first])
        elif self.opset >= 18 and self.chance(0.4):
            parts = self.add("Split", [x], outputs=2, axis=axis, num_outputs=2)
        else:
            sizes = self.integers([first, size - first])
            parts = self.add("Split", [x, sizes], outputs=2, axis=axis)
        if self.chance(0.5):
            return self.one("Concat", self.shuffled(parts), axis=axis)
        return self.pick(parts)

    def gather(self, x: str) -> str:
        axis = self.integer(1, len(self.shapes[x]) - 1)
        size = self.shapes[x][axis]
        first, step = self.integer(0, size - 1), self.integer(1, 2)
        indices = list(range(first, size, step))[: self.integer(1, 4)]
        if self.chance(SELDOM):
            indices = [self.integer(0, size - 1) for _ in range(4)]
        if self.opset >= 11 and self.chance(0.3):
            indices = [index - size for index in indices]
        return self.one("Gather", [x, self.integers(indices)], axis=axis)

    def arithmetic(self, x: str) -> str:
        shape = self.shapes[x]
        op = self.pick(["Add", "Sub", "Mul", "Div"])
        forms = [(), (1,), (1,) * len(shape), shape[1:2] + (1,) * (len(shape) - 2)]
        forms.append((1, shape[1]) + (1,) * (len(shape) - 2))
        if self.chance(SELDOM):
            forms = [shape[1:], shape[-1:], (shape[-2], 1)]
        values = self.normal(*self.pick(forms)) if forms else self.normal()
        if op == "Div":
            values = np.where(np.abs(values) < 0.3, np.float32(1.5), values).astype(np.float32)
        operands = [x, self.constant(np.asarray(values, np.float32))]
        if op != "Div" and self.chance(0.4):
            operands.reverse()
        return self.one(op, operands)

    def unary(self, x: str) -> str:
        form = self.integer(0, 4)
        if form == 0:
            return self.one("Neg", [x])
        if form == 1:
            return self.one("Identity", [x])
        if form == 2 and self.opset >= 9:
            return self.one("Cast", [x], to=TensorProto.FLOAT)
        if form == 3 and self.chance(SELDOM):
            return self.one(self.pick(["LeakyRelu", "Abs", "HardSigmoid", "Elu"]), [x])
        if self.opset >= 12:
            return self.one("Dropout", [x, self.scalar(0.5)])
        return self.one("Dropout", [x])

    def residual(self, x: str) -> str:
        channels = self.shapes[x][1]
        weight = self.normal(channels, channels, 3, 3, size=(9 * channels) ** -0.5)
        branch = self.one("Conv", [x, self.constant(weight, "w")], pads=[1, 1, 1, 1])
        if self.chance(0.5):
            branch = self.batch_norm(branch)
        parts = self.shuffled([x, branch])
        return self.one(self.pick(["Add", "Sum"]), parts)

    def branches(self, x: str) -> str:
        channels = self.shapes[x][1]
        parts = [x]
        for _ in range(self.integer(1, 2)):
            outputs = self.integer(1, 3)
            weight = self.normal(outputs, channels, 1, 1, size=channels**-0.5)
            branch = self.one("Conv", [x, self.constant(weight, "w")])
            parts.append(self.relu(branch) if self.chance(0.5) else branch)
        return self.one("Concat", self.shuffled(parts), axis=self.pick([1, -3]))

    def flatten(self, x: str) -> str:
        shape = self.shapes[x]
        form = self.integer(0, 3)
        if form == 0:
            return self.one("Flatten", [x], **self.pick([{}, {"axis": 1}]))
        if form == 1 and self.opset >= 9:
            return self.one("Flatten", [x], axis=1)
        count = int(np.prod(shape[1:]))
        target = self.pick([[1, -1], [0, -1], [-1, count], [1, count]])
        return self.one("Reshape", [x, self.integers(target)])

    def dense(self, x: str) -> str:
        features, outputs = self.shapes[x][1], self.integer(1, 8)
        weight = self.normal(features, outputs, size=features**-0.5)
        if self.chance(0.4):
            y = self.one("MatMul", [x, self.constant(weight, "w")])
            return self.one("Add", self.shuffled([y, self.constant(self.normal(outputs))]))
        attributes: dict = {}
        if self.chance(0.5):
            weight, attributes["transB"] = weight.T, 1
        if self.chance(0.3):
            attributes["alpha"], attributes["beta"] = 0.5, self.pick([0.0, 1.0, 2.0])
        operands = [x, self.constant(weight, "w")]
        if self.opset < 11 or self.chance(0.8):
            operands.append(self.constant(self.normal(*self.pick([(outputs,), (1, outputs), (1,)]))))
        return self.one("Gemm", operands, **attributes)

    # ---- Whole networks -----------------------------------------------------------------------

    MAPS = [
        (conv, 5),
        (batch_norm, 2),
        (relu, 3),
        (clip, 2),
        (pool, 4),
        (resize, 3),
        (pad, 2),
        (slice, 2),
        (split, 1),
        (gather, 1),
        (arithmetic, 2),
        (unary, 1),
        (residual, 2),
        (branches, 1),
    ]
    VECTORS = [(dense, 4), (relu, 2), (clip, 1), (arithmetic, 1), (unary, 1), (slice, 1), (batch_norm, 1)]

    def layer(self, x: str, layers) -> str:
        weights = np.array([w for _, w in layers], float)
        layer = layers[int(self.rng.choice(len(layers), p=weights / weights.sum()))][0]
        return layer(self, x)

    def body(self) -> str:
        x = self.layer("image", [(Network.conv, 3), (Network.batch_norm, 1), *self.MAPS])
        for _ in range(self.integer(2, 8)):
            if len(self.shapes[x]) != 4:
                break
            x = self.layer(x, self.MAPS)
        if len(self.shapes[x]) == 4 and self.chance(0.6):
            if self.chance(0.5):
                x = self.global_pool(x)
            if len(self.shapes[x]) == 4:
                x = self.flatten(x)
            for _ in range(self.integer(1, 3)):
                x = self.layer(x, self.VECTORS)
        return x

    def tail(self, x: str) -> tuple[str, int]:
        """What may stand at the very end; returns the output and its type."""
        form = self.pick(["none"] * 20 + ["Softmax", "LogSoftmax", "Sigmoid", "ArgMax", "TopK"])
        rank = len(self.shapes[x])
        axis = self.pick([{}, {"axis": 1}, {"axis": -1 if self.opset >= 11 else 1}])
        if form in ("Softmax", "LogSoftmax"):
            return self.one(form, [x], **axis), TensorProto.FLOAT
        if form == "Sigmoid":
            return self.one(form, [x]), TensorProto.FLOAT
        if form == "ArgMax":
            axis = self.integer(1, rank - 1)
            return self.one(form, [x], axis=axis, keepdims=self.pick([0, 1])), TensorProto.INT64
        if form == "TopK" and self.opset >= 10:
            axis = self.integer(1, rank - 1)
            k = self.integer(1, self.shapes[x][axis])
            values, _ = self.add(form, [x, self.integers([k])], outputs=2, axis=axis)
            return values, TensorProto.FLOAT
        return x, TensorProto.FLOAT

    def model(self) -> onnx.ModelProto:
        output, kind = self.tail(self.body())
        info = helper.make_tensor_value_info(output, kind, self.shapes[output])
        graph = helper.make_graph(self.nodes, "random", [self.info("image")], [info], self.constants)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", self.opset)])
        model.ir_version = IR_VERSION
        return model
