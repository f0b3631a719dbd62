# Arguments: model, images, threads. Says "ready"; then reads numbers N and answers each with the
# median seconds of N runs on the first image, after one that is not counted.
import statistics
import sys
import time

import numpy
import onnxruntime

model, images, threads = sys.argv[1:]
options = onnxruntime.SessionOptions()
options.intra_op_num_threads = int(threads)
options.inter_op_num_threads = 1
options.log_severity_level = 3
session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
image = numpy.load(images, mmap_mode="r")[:1]
if image.dtype != numpy.float32:
    sys.exit("the images are no float32 array")
feed = {session.get_inputs()[0].name: numpy.array(image)}
session.run(None, feed)
print("ready", flush=True)
for line in sys.stdin:
    times = []
    for _ in range(int(line) + 1):
        start = time.perf_counter()
        session.run(None, feed)
        times.append(time.perf_counter() - start)
    print(statistics.median(times[1:]), flush=True)
