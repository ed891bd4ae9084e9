// The page: camera or picture in, landmarks drawn, points out.

import { SIDES, extent, isEmpty } from "./geometry.js";
import { Frame } from "./frame.js";
import { openFinder } from "./open.js";
import { Tracker } from "./search.js";

const part = (id) => document.getElementById(id);
const view = part("view"), video = part("video"), buffer = document.createElement("canvas");
const state = { finder: null, tracker: null, picture: null, found: null, frames: 0, started: 0, running: false };
let words = {};

// --- words ----------------------------------------------------------------------------------------------------------

const word = (name) => words[part("language").value]?.[name] ?? name;

function speak() {
  const language = part("language").value;
  document.documentElement.lang = language;
  document.title = word("title");
  for (const each of document.querySelectorAll("[data-word]")) each.textContent = word(each.dataset.word);
  view.setAttribute("aria-label", word("view"));
  part("camera").textContent = word(state.running ? "stop" : "camera");
  if (state.finder?.settings.terms) part("terms").textContent = `${word("terms")}: ${state.finder.settings.terms}`;
  if (state.found) tell(state.found);
}

const say = (text) => (part("status").textContent = text);

function tell(found) {
  const names = [...(found.face ? ["face"] : []), ...SIDES.filter((side) => found.ears[side])];
  say(names.length ? names.map(word).join(", ") : word("nothing"));
}

// --- reading --------------------------------------------------------------------------------------------------------

function pixelsOf(source, width, height) {
  Object.assign(buffer, { width, height });
  const context = buffer.getContext("2d", { willReadFrequently: true });
  context.drawImage(source, 0, 0);
  return context.getImageData(0, 0, width, height);
}

async function readPicture(file) {
  stop();
  let bitmap;
  try {
    bitmap = await createImageBitmap(file);
  } catch {
    say(word("no_picture"));
    return;
  }
  say(word("reading"));
  part("hint").hidden = true;
  const image = pixelsOf(bitmap, bitmap.width, bitmap.height);
  show(image, { face: undefined, ears: {} });
  await new Promise(requestAnimationFrame);
  show(image, await state.finder.search(new Frame(image)), file.name ?? "picture");
  tell(state.found);
  part("rate").textContent = "";
}

async function start() {
  let stream;
  try {
    stream = await navigator.mediaDevices.getUserMedia({ video: { width: { ideal: 1280 } }, audio: false });
  } catch (problem) {
    say(word(problem.name === "NotAllowedError" ? "refused" : "no_camera"));
    return;
  }
  Object.assign(video, { srcObject: stream });
  await video.play();
  Object.assign(state, { running: true, tracker: new Tracker(state.finder), frames: 0, started: performance.now() });
  part("hint").hidden = true;
  part("mirror").checked = true;
  speak();
  let before = "";
  while (state.running) {
    const image = pixelsOf(video, video.videoWidth, video.videoHeight);
    const found = await state.tracker.next(new Frame(image));
    if (!state.running) break;
    show(image, found, "camera");
    state.frames += 1;
    const now = `${Boolean(found.face)} ${Object.keys(found.ears)}`;
    if (now !== before) tell(found); // a screen reader is told what changes
    before = now;
    const seconds = (performance.now() - state.started) / 1000;
    part("rate").textContent = `${(state.frames / seconds).toFixed(1)} ${word("rate")} (${state.finder.network.provider})`;
    await new Promise(requestAnimationFrame);
  }
}

function stop() {
  state.running = false;
  for (const track of video.srcObject?.getTracks() ?? []) track.stop();
  video.srcObject = null;
  part("camera").textContent = word("camera");
}

// --- showing --------------------------------------------------------------------------------------------------------

function show(image, found, source) {
  Object.assign(state, { picture: image, found: source ? { ...found, source } : null });
  part("json").disabled = part("save").disabled = !source;
  Object.assign(view, { width: image.width, height: image.height });
  const context = view.getContext("2d"), mirror = part("mirror").checked;
  context.setTransform(mirror ? -1 : 1, 0, 0, 1, mirror ? image.width : 0, 0);
  Object.assign(buffer, { width: image.width, height: image.height });
  buffer.getContext("2d").putImageData(image, 0, 0);
  context.drawImage(buffer, 0, 0);
  for (const landmarks of [found.face, ...SIDES.map((side) => found.ears[side])]) if (landmarks) paint(context, landmarks);
}

function paint(context, { task, points, confidence }) {
  const radius = Math.max(1, Math.round(extent(points) / 130));
  const shown = (k) => confidence[k] >= state.finder.settings.thresholds.landmark;
  for (const { indices, closed, colour } of state.finder.settings.schemes[task].groups) {
    context.strokeStyle = context.fillStyle = `rgb(${colour})`;
    context.lineWidth = Math.max(1, Math.floor(radius / 2));
    indices.forEach((one, place) => {
      const other = indices[place + 1] ?? (closed ? indices[0] : undefined);
      if (other === undefined || !shown(one) || !shown(other)) return;
      context.beginPath();
      context.moveTo(points[one][0] + 0.5, points[one][1] + 0.5);
      context.lineTo(points[other][0] + 0.5, points[other][1] + 0.5);
      context.stroke();
    });
    for (const k of indices.filter(shown)) {
      context.beginPath();
      context.arc(points[k][0] + 0.5, points[k][1] + 0.5, radius, 0, 2 * Math.PI);
      context.fill();
    }
  }
}

function line() {
  const { face, ears, source } = state.found;
  const round = (value) => Math.round(value * 100) / 100;
  const plain = ({ task, points, confidence, score }) => ({
    scheme: task,
    score: round(score),
    points: points.map((point) => point.map(round)),
    confidence: confidence.map(round),
  });
  const { width, height } = state.picture;
  const sides = SIDES.filter((side) => ears[side]).map((side) => [side, plain(ears[side])]);
  return { source, width, height, face: face ? plain(face) : null, ears: Object.fromEntries(sides) };
}

function hand(blob, name) {
  const link = Object.assign(document.createElement("a"), { href: URL.createObjectURL(blob), download: name });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 1000);
}

// --- beginning ------------------------------------------------------------------------------------------------------

function listen() {
  part("language").addEventListener("change", speak);
  part("camera").addEventListener("click", () => (state.running ? stop() : start()));
  part("picture").addEventListener("change", ({ target }) => {
    if (target.files[0]) readPicture(target.files[0]);
    target.value = "";
  });
  part("mirror").addEventListener("change", () => {
    if (state.found && !state.running) show(state.picture, state.found, state.found.source);
  });
  part("json").addEventListener("click", () => hand(new Blob([JSON.stringify(line())], { type: "application/json" }), "points.json"));
  part("save").addEventListener("click", () => view.toBlob((blob) => hand(blob, "landmarks.png")));
  const stage = part("stage");
  for (const kind of ["dragover", "dragleave", "drop"])
    stage.addEventListener(kind, (event) => {
      event.preventDefault();
      stage.classList.toggle("over", kind === "dragover");
      if (kind === "drop" && state.finder && event.dataTransfer.files[0]) readPicture(event.dataTransfer.files[0]);
    });
}

// Threads want headers; where the host does not send them, a service worker does after one reload.
async function isolate() {
  if (crossOriginIsolated || !navigator.serviceWorker || sessionStorage.reloaded) return;
  try {
    await navigator.serviceWorker.register("headers.js");
    await navigator.serviceWorker.ready;
    sessionStorage.reloaded = "yes";
    location.reload();
    await new Promise(() => {});
  } catch (problem) {
    console.warn(problem.message); // one thread will do
  }
}

await isolate();
words = await (await fetch("words.json")).json();
for (const language of Object.keys(words)) part("language").add(new Option({ en: "English", ko: "한국어" }[language], language));
part("language").value = navigator.language.startsWith("ko") ? "ko" : "en";
speak();
listen();
say(word("loading"));
try {
  state.finder = await openFinder((share) => say(`${word("loading")} ${Math.round(100 * share)} %`));
  part("camera").disabled = part("picture").disabled = false;
  say(word("ready"));
  speak();
} catch (problem) {
  console.error(problem);
  say(word("failed"));
}
document.body.dataset.ready = state.finder ? "yes" : "no";
