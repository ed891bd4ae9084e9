// Squares, tilt, places and shapes of faces and ears: what utils/demo/geometry.py and utils/demo/detections.py do.
// Points are arrays of [x, y] in pixels of the image, of a candidate also null where a point is left out. Angles are degrees, positive clockwise on the screen. Sides are
// the subject's. All numbers come from settings.json, which Python writes.

export const SIDES = ["left", "right"];

const mean = (values) => values.reduce((sum, value) => sum + value, 0) / values.length;

export function box(points) {
  const xs = points.map((p) => p[0]), ys = points.map((p) => p[1]);
  return { low: [Math.min(...xs), Math.min(...ys)], high: [Math.max(...xs), Math.max(...ys)] };
}

export function extent(points) {
  const { low, high } = box(points);
  return Math.max(high[0] - low[0], high[1] - low[1]);
}

export function meanPoint(points) {
  return [mean(points.map((p) => p[0])), mean(points.map((p) => p[1]))];
}

export function turn([x, y], degrees) {
  const a = (degrees * Math.PI) / 180;
  return [Math.cos(a) * x - Math.sin(a) * y, Math.sin(a) * x + Math.cos(a) * y];
}

const known = (points) => points.filter(Boolean);
const pick = (points, [first, end]) => known(points.slice(first, end));

export class Geometry {
  constructor(settings) {
    this.settings = settings;
    this.numbers = settings.geometry;
  }

  scheme(task) {
    return this.settings.schemes[task];
  }

  // Degrees by which an image must be turned clockwise for the face to stand upright; 0 if unknown.
  tilt(face) {
    const parts = [pick(face, this.numbers.eyes), pick(face, this.numbers.mouth)];
    if (!parts.every((part) => part.length)) return 0;
    const [eyes, mouth] = parts.map(meanPoint);
    return (-Math.atan2(eyes[0] - mouth[0], mouth[1] - eyes[1]) * 180) / Math.PI;
  }

  // The square {centre, side, angle} whose side is `scale` times the longer side of the points' box, turned likewise.
  squareAround(points, scale, angle) {
    const { low, high } = box(known(points).map((p) => turn(p, angle)));
    const centre = turn([(low[0] + high[0]) / 2, (low[1] + high[1]) / 2], -angle);
    const longer = Math.max(high[0] - low[0], high[1] - low[1], this.numbers.smallest_square);
    return { centre, side: scale * longer, angle };
  }

  // Where to read landmarks next: upright for a face, turned as it was read for an ear.
  nextSquare({ task, points, square }) {
    return this.squareAround(points, this.scheme(task).crop_side, task === "face" ? this.tilt(points) : square.angle);
  }

  // Where to look for the ear on a side of a face: beside the upper end of the jaw.
  earSquare(face, side) {
    const angle = this.tilt(face), turned = face.map((p) => turn(p, angle));
    const length = Math.max(extent(turned), this.numbers.smallest_square);
    const jaw = pick(turned, this.numbers.jaw_end[side]);
    const top = jaw.reduce((best, p) => (p[1] < best[1] ? p : best));
    const [outward, down] = this.numbers.ear_from_jaw_end;
    const x = top[0] + outward * this.numbers.outward[side] * length, y = top[1] + down * length;
    const wide = this.numbers.ear_length_of_face * this.scheme("ear").crop_side * length;
    return { centre: turn([x, y], -angle), side: wide, angle };
  }

  // The side on which a face that is turned hides its ear: undefined if it hides none.
  farSide(face) {
    const angle = this.tilt(face), upright = face.map((p) => turn(p, angle)), nose = upright[this.numbers.nose_tip][0];
    const end = (side) => meanPoint(pick(upright, this.numbers.jaw_end[side]))[0];
    const [left, right] = ["left", "right"].map((side) => this.numbers.outward[side] * (end(side) - nose));
    if (Math.min(left, right) >= this.numbers.turned_away * (left + right)) return undefined;
    return left <= right ? "left" : "right";
  }

  // Which points lie together, near their common centre; both medians are weighted by the confidences' squares.
  agreeing(points, confidence) {
    const weight = confidence.map((c) => Math.max(c, 0) ** 2 + 1e-9);
    const centre = [0, 1].map((axis) => weightedMedian(points.map((p) => p[axis]), weight));
    const distance = points.map((p) => Math.hypot(p[0] - centre[0], p[1] - centre[1]));
    const usual = Math.max(weightedMedian(distance, weight), this.numbers.least_usual_distance);
    return distance.map((d) => d <= this.numbers.outlier_distance * usual);
  }

  // Distance of points from the best affine map of the scheme's mean shape, a fraction of their spread.
  misfit(points, task) {
    const shape = this.scheme(task).reference.map(([x, y]) => [x, y, 1]);
    const normal = [0, 1, 2].map((i) => [0, 1, 2].map((j) => shape.reduce((sum, row) => sum + row[i] * row[j], 0)));
    let missed = 0, spread = 0;
    const middle = meanPoint(points);
    for (const axis of [0, 1]) {
      const right = [0, 1, 2].map((i) => shape.reduce((sum, row, k) => sum + row[i] * points[k][axis], 0));
      const fit = solve(normal, right);
      points.forEach((p, k) => {
        missed += (p[axis] - shape[k].reduce((sum, value, i) => sum + value * fit[i], 0)) ** 2;
        spread += (p[axis] - middle[axis]) ** 2;
      });
    }
    return Math.sqrt(missed) / Math.max(Math.sqrt(spread), 1e-6);
  }

  // The side of an ear: the helix runs clockwise round one, counterclockwise round the other.
  sideOf(ear) {
    const own = signedArea(pick(ear, this.numbers.helix));
    return own * signedArea(pick(this.scheme("ear").reference, this.numbers.helix)) >= 0 ? "left" : "right";
  }

  isFace(face) {
    return this.misfit(face.points, "face") < this.numbers.most_face_misfit;
  }

  isEar(ear, face) {
    if (this.misfit(ear.points, "ear") >= this.numbers.most_ear_misfit) return false;
    const length = extent(ear.points), [least, most] = this.numbers.ear_lengths_of_crop;
    if (length <= least * ear.square.side || length >= most * ear.square.side) return false;
    if (!face) return true;
    const [shortest, longest] = this.numbers.ear_lengths_of_face;
    return length > shortest * extent(face.points) && length < longest * extent(face.points);
  }

  // Whether a square lies clearly elsewhere than that in which landmarks were read: by more than `still` of its side, or
  // turned by more than `straight` degrees.
  hasMoved({ square: before }, square, still = this.numbers.stands_still, straight = this.numbers.stands_straight) {
    const apart = Math.hypot(before.centre[0] - square.centre[0], before.centre[1] - square.centre[1]);
    const moved = Math.max(apart, Math.abs(square.side - before.side)) / before.side;
    const turned = Math.abs(((((square.angle - before.angle + 180) % 360) + 360) % 360) - 180);
    return moved > still || turned > straight;
  }

  // What is credible of landmarks by name ("face", "left", "right"): {face, ears}. A score may lack `patience`.
  filter(found, patience = 0) {
    const thresholds = this.settings.thresholds;
    let face = found.face;
    if (face && (face.score < thresholds.face - patience || !this.isFace(face))) face = undefined;
    let ears = SIDES.filter((side) => found[side]).map((side) => [side, found[side]]);
    ears = ears.filter(([, ear]) => ear.score >= thresholds.ear - patience && this.isEar(ear, face));
    if (ears.length === 2) {
      const [one, other] = ears.map(([, ear]) => ear), a = meanPoint(one.points), b = meanPoint(other.points);
      if (Math.hypot(a[0] - b[0], a[1] - b[1]) < this.numbers.same_place * extent(one.points)) {
        ears = [ears[one.score >= other.score ? 0 : 1]];
      }
    }
    if (!face) {
      ears.sort((one, other) => one[1].score - other[1].score);
      ears = ears.map(([, ear]) => [this.sideOf(ear.points), ear]);
    }
    return { face, ears: Object.fromEntries(ears) };
  }

  isFold(small, large) {
    const { low, high } = box(large.points);
    const inside = small.points.every((p) => p[0] >= low[0] && p[0] <= high[0] && p[1] >= low[1] && p[1] <= high[1]);
    return inside && extent(small.points) < this.numbers.fold_length * extent(large.points);
  }

  // Of two predictions without a face that of the higher score, but never a fold of the other's ear.
  betterEars(one, other) {
    if (isEmpty(one) || isEmpty(other)) return isEmpty(one) ? other : one;
    const [smaller, larger] = [one, other].sort((a, b) => extent(bestEar(a).points) - extent(bestEar(b).points));
    if (this.isFold(bestEar(smaller), bestEar(larger))) return larger;
    return score(other) > score(one) ? other : one;
  }

  // Between the best prediction with a face and the best ears without one; either may be empty.
  select(withFace, earAlone) {
    const face = withFace.face;
    if (!face || isEmpty(earAlone)) return isEmpty(withFace) ? earAlone : withFace;
    const ear = bestEar(earAlone);
    if (this.liesAmid(ear, face) || !this.isEar(ear, face)) return score(earAlone) > score(withFace) ? earAlone : withFace;
    if (Object.keys(withFace.ears).length || ear.score < this.settings.thresholds.sure_ear) return withFace;
    if (this.liesBeside(ear, face)) return { face, ears: { [this.sideOf(ear.points)]: ear } };
    return face.score < this.settings.thresholds.doubtful_face ? earAlone : withFace;
  }

  // Whether an ear's middle lies where the eyes, nose and mouth are.
  liesAmid(ear, face) {
    const { low, high } = box(face.points.slice(this.numbers.inner_from)), [x, y] = meanPoint(ear.points);
    return x > low[0] && x < high[0] && y > low[1] && y < high[1];
  }

  liesBeside(ear, face) {
    const a = meanPoint(ear.points), b = meanPoint(face.points), unit = extent(face.points);
    const [right, down] = turn([a[0] - b[0], a[1] - b[1]], this.tilt(face.points)).map((value) => value / unit);
    const outward = right * this.numbers.outward[this.sideOf(ear.points)], [most, height] = this.numbers.most_ear_offset;
    return outward > 0 && outward < most && Math.abs(down) < height;
  }
}

export const isEmpty = ({ face, ears }) => !face && Object.keys(ears).length === 0;
export const bestEar = ({ ears }) => Object.values(ears).reduce((best, ear) => (ear.score > best.score ? ear : best));
export const score = (found) => (found.face ? found.face.score : isEmpty(found) ? 0 : bestEar(found).score);

function weightedMedian(values, weight) {
  const order = values.map((_, k) => k).sort((a, b) => values[a] - values[b]);
  const half = weight.reduce((sum, w) => sum + w, 0) / 2;
  let sum = 0;
  for (const k of order) if ((sum += weight[k]) >= half) return values[k];
  return values[order.at(-1)];
}

function solve(matrix, right) {
  const rows = matrix.map((row, i) => [...row, right[i]]);
  for (let i = 0; i < 3; i++) {
    const best = [i, i + 1, i + 2].filter((k) => k < 3).reduce((a, b) => (Math.abs(rows[b][i]) > Math.abs(rows[a][i]) ? b : a));
    [rows[i], rows[best]] = [rows[best], rows[i]];
    for (let k = 0; k < 3; k++) {
      if (k === i) continue;
      const factor = rows[k][i] / rows[i][i];
      rows[k] = rows[k].map((value, j) => value - factor * rows[i][j]);
    }
  }
  return rows.map((row, i) => row[3] / row[i]);
}

function signedArea(polygon) {
  let area = 0;
  polygon.forEach(([x, y], k) => {
    const [u, v] = polygon.at(k - 1);
    area += x * v - y * u;
  });
  return area / 2;
}
