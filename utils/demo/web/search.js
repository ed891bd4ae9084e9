// Finding a head in a picture, and following it: what utils/demo/search.py and utils/demo/tracker.py do.

import { SIDES, bestEar, box, extent, isEmpty, score } from "./geometry.js";

const NOTHING = { face: undefined, ears: {} };

export class Finder {
  // `network`: see network.js.
  constructor(settings, geometry, network) {
    Object.assign(this, { settings, geometry, network, numbers: settings.search });
    this.hasEars = "ear" in settings.schemes;
  }

  sizes(frame) {
    const longest = Math.max(frame.width, frame.height), { sizes, most_enlargement } = this.numbers;
    const fit = sizes.filter((size) => size <= longest * most_enlargement);
    return fit.length ? fit : sizes.slice(0, 1);
  }

  sizesTurned(sizes, quarter) {
    return quarter ? sizes.slice(0, this.numbers.turned_sizes) : sizes;
  }

  async search(frame, sizes = this.sizes(frame), quarters = this.numbers.quarters) {
    const thresholds = this.settings.thresholds;
    let withFace = NOTHING, earAlone = NOTHING;
    for (const quarter of quarters) {
      for (const size of this.sizesTurned(sizes, quarter)) {
        const longest = Math.max(frame.width, frame.height);
        if (withFace.face && (extent(withFace.face.points) * size) / longest > this.numbers.long_enough) break;
        for (const candidate of await this.candidates(frame, size, quarter)) {
          if (this.wasRead(candidate, withFace)) continue;
          let found = await this.refineCandidate(frame, candidate);
          if (quarter && found.face && found.face.score < thresholds.turned_face) found = { ...found, face: undefined };
          if (!found.face) earAlone = this.geometry.betterEars(earAlone, found);
          else if (found.face.score >= thresholds.sure_face) return this.withLargerHead(frame, found, size, quarter);
          else if (score(found) > score(withFace)) withFace = found;
        }
      }
      const best = this.geometry.select(withFace, earAlone);
      if (!isEmpty(best) && (best.face || bestEar(best).score >= thresholds.lone_ear)) return best;
    }
    return NOTHING;
  }

  // Where the heads see a face and an ear in the whole picture: squares round those of their points that lie together.
  // Small heads are seen, but the tilt of such a face may be wrong, and what is taken for an ear may be a head. So where
  // nothing is found in the first square, the second one is that of an upright face.
  async candidates(frame, size, quarter) {
    const found = [];
    for (const landmarks of Object.values(await this.network.readWhole(frame, size, quarter, this.numbers.canvas_multiple))) {
      const kept = this.geometry.agreeing(landmarks.points, landmarks.confidence), count = kept.filter(Boolean).length;
      const fewest = Math.max(this.numbers.fewest_agreeing, Math.floor(kept.length / 3));
      if (count < fewest || landmarks.score < this.numbers.least_candidate) continue;
      const points = landmarks.points.map((point, k) => (kept[k] ? point : null));
      const name = landmarks.task === "face" ? "face" : this.geometry.sideOf(points);
      const { score, square } = landmarks, length = extent(points.filter(Boolean));
      const squares = [{ [name]: this.geometry.nextSquare({ ...landmarks, points }) }];
      const upright = this.geometry.squareAround(points, this.geometry.scheme("face").crop_side, square.angle);
      if (squares[0].face?.angle !== upright.angle) squares.push({ face: upright });
      found.push({ name, score, length, squares });
    }
    return found;
  }

  // A head that is clearly larger than the one found, and as sure; the picture is read again without the latter.
  async withLargerHead(frame, found, size, quarter) {
    for (let larger = found; larger; larger = await this.largerHead(frame, found, size, quarter)) found = larger;
    return found;
  }

  async largerHead(frame, { face }, size, quarter) {
    if (!face) return undefined;
    const { clearly_larger, head_margin, finest_larger, colour_samples, refinements, patience } = this.numbers;
    const { face: enough, sure_face } = this.settings.thresholds;
    const length = extent(face.points), { low, high } = box(face.points);
    const margin = [0, 1].map((axis) => head_margin * (high[axis] - low[axis]));
    const from = [low[0] - margin[0], low[1] - margin[1]], to = [high[0] + margin[0], high[1] + margin[1]];
    if (Math.max(...from, frame.width - to[0], frame.height - to[1]) < clearly_larger * length) return undefined;
    const rest = frame.paintedOver(from, to, colour_samples);
    const sizes = this.sizes(frame).filter((each) => size <= each && each <= Math.max(size, finest_larger)).slice(0, 2);
    for (const again of sizes)
      for (const candidate of await this.candidates(rest, again, quarter)) {
        if (candidate.name !== "face") {
          const profile = await this.largeEar(rest, candidate, clearly_larger * length);
          if (profile) return profile;
        } else if (candidate.score >= enough - patience && candidate.length >= length) {
          const refined = await this.readAround(frame, await this.refine(rest, candidate.squares[0], refinements - 1));
          if (refined.face?.score >= sure_face && extent(refined.face.points) >= clearly_larger * length) return refined;
        }
      }
    return undefined;
  }

  // The sure ear of a profile whose face would be at least `length` pixels long.
  async largeEar(frame, candidate, length) {
    const least = this.settings.geometry.ear_length_of_face * length, { sure_ear, lone_ear } = this.settings.thresholds;
    if (candidate.score < sure_ear || candidate.length < least) return undefined;
    const refined = await this.refine(frame, candidate.squares[0]), ear = isEmpty(refined) ? undefined : bestEar(refined);
    return ear?.score >= lone_ear && extent(ear.points) >= least ? refined : undefined;
  }

  // Whether a candidate of the whole picture is the face that was found, or an ear beside it, and not amid it.
  wasRead({ name, squares: [first] }, { face, ears }) {
    if (!face) return false;
    const { same_square, same_way_up } = this.settings.geometry;
    const same = name === "face" ? [face] : Object.values(ears).filter((ear) => !this.geometry.liesAmid(ear, face));
    return same.some((landmarks) => !this.geometry.hasMoved(landmarks, first[name], same_square, same_way_up));
  }

  async refineCandidate(frame, { squares }) {
    let refined = NOTHING;
    for (const first of squares) if (isEmpty(refined)) refined = await this.refine(frame, first);
    return refined;
  }

  async refine(frame, first, times = this.numbers.refinements) {
    let read = {}, found = NOTHING, squares = first;
    for (let time = 0; time < times; time++) {
      if (time) squares = this.squaresAround(found);
      const moved = Object.entries(squares).filter(([each, square]) => !read[each] || this.geometry.hasMoved(read[each], square));
      read = { ...read, ...(await this.network.readSquares(frame, Object.fromEntries(moved))) };
      const named = Object.fromEntries(Object.keys(squares).map((each) => [each, read[each]]));
      found = this.geometry.filter(named, this.numbers.patience);
      if (isEmpty(found) || !moved.length) break;
    }
    return this.geometry.filter({ face: found.face, ...found.ears });
  }

  squaresAround({ face, ears }, sides = SIDES) {
    const squares = face ? { face: this.geometry.nextSquare(face) } : {};
    const away = face && this.geometry.farSide(face.points);
    const due = face && this.hasEars ? sides.filter((side) => side !== away) : [];
    for (const side of SIDES) {
      if (ears[side]) squares[side] = this.geometry.nextSquare(ears[side]);
      else if (due.includes(side)) squares[side] = this.geometry.earSquare(face.points, side);
    }
    return squares;
  }

  async readAround(frame, before, sides) {
    return this.geometry.filter(await this.network.readSquares(frame, this.squaresAround(before, sides)));
  }
}

export class Tracker {
  constructor(finder) {
    this.finder = finder;
    this.numbers = finder.settings.tracker;
    this.start();
  }

  start() {
    Object.assign(this, { found: NOTHING, searched: 0, hidden: {}, shape: "" });
  }

  async next(frame) {
    const shape = `${frame.width} ${frame.height}`;
    if (shape !== this.shape) this.start();
    this.shape = shape;
    const tracked = isEmpty(this.found) ? NOTHING : await this.finder.readAround(frame, this.found, this.sidesDue());
    if (tracked.face) {
      this.searched = 0;
      const hidden = SIDES.filter((side) => !tracked.ears[side]).map((side) => [side, (this.hidden[side] || 0) + 1]);
      this.hidden = Object.fromEntries(hidden);
      this.found = tracked;
    } else {
      this.hidden = {};
      this.found = await this.search(frame, tracked);
    }
    return this.found;
  }

  async search(frame, tracked) {
    const [sizes, quarter] = this.step(this.finder.sizes(frame));
    const found = await this.finder.search(frame, sizes, [quarter]);
    if (found.face || (!isEmpty(found) && isEmpty(tracked))) {
      this.searched = 0;
      return found;
    }
    this.searched += 1;
    return tracked;
  }

  // The sides on which the next frame looks for an ear that was hidden.
  sidesDue() {
    const patience = this.numbers.ear_patience;
    return SIDES.filter((side, k) => {
      const count = this.hidden[side] || 0;
      return count < patience || count % patience === Math.floor((k * patience) / 2);
    });
  }

  step(sizes) {
    const quarters = this.finder.numbers.quarters;
    if (this.searched === 0) return [sizes.slice(0, this.numbers.first_search), quarters[0]];
    const turned = (this.searched - 1) % 2 ? quarters.slice(1) : quarters.slice(0, 1);
    const steps = turned.flatMap((quarter) => this.finder.sizesTurned(sizes, quarter).map((size) => [[size], quarter]));
    return steps[Math.floor((this.searched - 1) / 2) % steps.length];
  }
}
