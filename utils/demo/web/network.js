// The network, run by onnxruntime-web: pictures in, landmarks {task, points, confidence, score, square} out.

export class Network {
  // `ort`: the runtime's module; `bytes`: the ONNX file; `provider`: "webgpu" or "wasm".
  static async open(settings, ort, bytes, provider) {
    const session = await ort.InferenceSession.create(bytes, { executionProviders: [provider] });
    return new Network(settings, ort, session, provider);
  }

  constructor(settings, ort, session, provider) {
    Object.assign(this, { settings, ort, session, provider });
  }

  // What each head reads in the whole picture, by task.
  async readWhole(frame, size, quarter, multiple) {
    const canvas = frame.whole(size, quarter, multiple);
    const answers = await this.run(canvas.data, [1, canvas.height, canvas.width, 3]);
    const square = { angle: -90 * quarter };
    return Object.fromEntries(Object.entries(answers).map(([task, values]) => [task, landmarks(task, values, 0, canvas.back, square)]));
  }

  // What the network reads in squares by name ("face", "left", "right"); one batch.
  async readSquares(frame, squares) {
    const names = Object.keys(squares), size = this.settings.size, found = {};
    if (!names.length) return found;
    const crops = new Uint8Array(names.length * size * size * 3);
    names.forEach((name, k) => frame.crop(squares[name], size, crops, k * size * size * 3));
    const answers = await this.run(crops, [names.length, size, size, 3]);
    names.forEach((name, k) => {
      const task = name === "face" ? "face" : "ear", { centre, side, angle } = squares[name];
      const step = side / size, middle = (size - 1) / 2, a = (angle * Math.PI) / 180;
      const back = ([x, y]) => {
        const u = step * (x - middle), v = step * (y - middle);
        return [centre[0] + Math.cos(a) * u + Math.sin(a) * v, centre[1] - Math.sin(a) * u + Math.cos(a) * v];
      };
      found[name] = landmarks(task, answers[task], k, back, squares[name]);
    });
    return found;
  }

  async run(pixels, shape) {
    const results = await this.session.run({ images: new this.ort.Tensor("uint8", pixels, shape) });
    return Object.fromEntries(Object.keys(this.settings.schemes).map((task) => [task, results[task]]));
  }
}

function landmarks(task, { data, dims }, row, back, square) {
  const count = dims[1], points = [], confidence = [];
  for (let k = row * count; k < (row + 1) * count; k++) {
    points.push(back([data[3 * k], data[3 * k + 1]]));
    confidence.push(data[3 * k + 2]);
  }
  return { task, points, confidence, score: confidence.reduce((sum, value) => sum + value, 0) / count, square };
}
