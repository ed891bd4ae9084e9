// A picture and what the network reads of it: squares, and the whole of it. As data/augment.py and the search cut them.

import { turn } from "./geometry.js";

export class Frame {
  // `image`: ImageData, or anything with width, height and RGBA bytes.
  constructor(image) {
    this.set({ width: image.width, height: image.height, data: withoutAlpha(image.data) });
  }

  // `pixels`: width, height and RGB bytes.
  set(pixels) {
    this.width = pixels.width;
    this.height = pixels.height;
    this.levels = new Map([[1, pixels]]);
    return this;
  }

  // A copy in which the box from `low` to `high` has the median colour of the picture, of `samples` pixels a side.
  paintedOver(low, high, samples) {
    const { width, height } = this, data = this.level(1).data.slice();
    const step = Math.max(1, Math.floor(Math.max(width, height) / samples));
    const colour = [0, 1, 2].map((k) => {
      const values = [];
      for (let y = 0; y < height; y += step) for (let x = 0; x < width; x += step) values.push(data[3 * (y * width + x) + k]);
      values.sort((a, b) => a - b);
      return Math.floor((values[(values.length - 1) >> 1] + values[values.length >> 1]) / 2);
    });
    const [left, top, right, bottom] = [...low, high[0] + 1, high[1] + 1].map((edge) => Math.floor(Math.max(edge, 0)));
    for (let y = top; y < Math.min(bottom, height); y++)
      for (let x = left; x < Math.min(right, width); x++) data.set(colour, 3 * (y * width + x));
    return Object.create(Frame.prototype).set({ width, height, data });
  }

  // The picture shrunk `factor` times by averaging blocks, the last ones filled up with the edge.
  level(factor) {
    if (!this.levels.has(factor)) this.levels.set(factor, averaged(this.levels.get(1), factor));
    return this.levels.get(factor);
  }

  // RGB bytes of a square as `size` x `size` pixels, written into `out` from `offset` on; black outside the picture.
  crop({ centre, side, angle }, size, out, offset) {
    const factor = Math.max(1, Math.floor(side / size)), level = this.level(factor);
    const step = side / size / factor, middle = (size - 1) / 2;
    const [a, b] = turn([step, 0], -angle), [c, d] = turn([0, step], -angle);
    const x0 = (centre[0] + 0.5) / factor - 0.5 - middle * (a + c), y0 = (centre[1] + 0.5) / factor - 0.5 - middle * (b + d);
    for (let row = 0; row < size; row++)
      for (let column = 0; column < size; column++, offset += 3)
        sample(level, x0 + a * column + c * row, y0 + b * column + d * row, out, offset);
  }

  // The picture scaled to `size` pixels its longer side and turned counterclockwise by quarters, on a black canvas with
  // sides that are multiples of `multiple`: its bytes, and the map from the canvas back to the picture.
  whole(size, quarter, multiple) {
    const { width, height } = this, factor = size / Math.max(width, height);
    const wide = Math.max(1, Math.round(width * factor)), high = Math.max(1, Math.round(height * factor));
    const small = resized(this.level(1), wide, high);
    const [across, down] = quarter % 2 ? [high, wide] : [wide, high];
    const canvas = { width: across + padding(across, multiple), height: down + padding(down, multiple) };
    const left = Math.floor((canvas.width - across) / 2), top = Math.floor((canvas.height - down) / 2);
    const upright = (x, y) => [[x, y], [wide - 1 - y, x], [wide - 1 - x, high - 1 - y], [y, high - 1 - x]][quarter];
    canvas.data = new Uint8Array(canvas.width * canvas.height * 3);
    for (let y = 0; y < down; y++)
      for (let x = 0; x < across; x++) {
        const [u, v] = upright(x, y), from = 3 * (v * wide + u), to = 3 * ((y + top) * canvas.width + x + left);
        for (let k = 0; k < 3; k++) canvas.data[to + k] = small.data[from + k];
      }
    const back = ([x, y]) => {
      const [u, v] = upright(x - left, y - top);
      return [((u + 0.5) * width) / wide - 0.5, ((v + 0.5) * height) / high - 0.5];
    };
    return { ...canvas, back };
  }
}

const padding = (length, multiple) => (multiple - (length % multiple)) % multiple;

function withoutAlpha(rgba) {
  const rgb = new Uint8Array((rgba.length / 4) * 3);
  for (let from = 0, to = 0; from < rgba.length; from += 4, to += 3) {
    rgb[to] = rgba[from];
    rgb[to + 1] = rgba[from + 1];
    rgb[to + 2] = rgba[from + 2];
  }
  return rgb;
}

function sample({ width, height, data }, x, y, out, offset) {
  const i = Math.floor(x), j = Math.floor(y), u = x - i, v = y - j;
  for (let k = 0; k < 3; k++) {
    let sum = 0;
    for (const [column, row, weight] of [[i, j, (1 - u) * (1 - v)], [i + 1, j, u * (1 - v)], [i, j + 1, (1 - u) * v], [i + 1, j + 1, u * v]])
      if (column >= 0 && row >= 0 && column < width && row < height) sum += weight * data[3 * (row * width + column) + k];
    out[offset + k] = Math.round(sum);
  }
}

function averaged({ width, height, data }, factor) {
  const wide = Math.ceil(width / factor), high = Math.ceil(height / factor), small = new Uint8Array(wide * high * 3);
  for (let y = 0; y < high; y++)
    for (let x = 0; x < wide; x++)
      for (let k = 0; k < 3; k++) {
        let sum = 0;
        for (let j = 0; j < factor; j++)
          for (let i = 0; i < factor; i++) {
            const row = Math.min(y * factor + j, height - 1), column = Math.min(x * factor + i, width - 1);
            sum += data[3 * (row * width + column) + k];
          }
        small[3 * (y * wide + x) + k] = Math.round(sum / factor ** 2);
      }
  return { width: wide, height: high, data: small };
}

// Area averaging where it shrinks, linear interpolation where it grows, one axis after the other.
function resized({ width, height, data }, wide, high) {
  const across = mix(width, wide), down = mix(height, high), rows = new Float32Array(wide * height * 3);
  for (let y = 0; y < height; y++)
    for (let x = 0; x < wide; x++)
      for (const [column, weight] of across[x])
        for (let k = 0; k < 3; k++) rows[3 * (y * wide + x) + k] += weight * data[3 * (y * width + column) + k];
  const out = new Uint8Array(wide * high * 3), sums = new Float32Array(wide * 3);
  for (let y = 0; y < high; y++) {
    sums.fill(0);
    for (const [row, weight] of down[y])
      for (let k = 0; k < sums.length; k++) sums[k] += weight * rows[3 * row * wide + k];
    for (let k = 0; k < sums.length; k++) out[3 * y * wide + k] = Math.round(sums[k]);
  }
  return { width: wide, height: high, data: out };
}

// How much of each old sample a new one takes: [[old, weight], ...] for each new one.
function mix(length, wanted) {
  const step = length / wanted;
  return Array.from({ length: wanted }, (_, k) => {
    if (step <= 1) {
      const at = Math.min(Math.max((k + 0.5) * step - 0.5, 0), length - 1), first = Math.floor(at);
      return [[first, 1 - (at - first)], [Math.min(first + 1, length - 1), at - first]];
    }
    const begin = k * step, end = begin + step, parts = [];
    for (let old = Math.floor(begin); old < Math.min(Math.ceil(end - 1e-9), length); old++)
      parts.push([old, (Math.min(end, old + 1) - Math.max(begin, old)) / step]);
    return parts;
  });
}
