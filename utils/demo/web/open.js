// Opening what lies beside the page: its settings, the network, and the runtime in the fastest way that works here.

import { Geometry } from "./geometry.js";
import { Network } from "./network.js";
import { Finder } from "./search.js";

const here = (name) => new URL(name, import.meta.url).href;

export async function openFinder(say = () => {}) {
  const settings = await (await fetch(here("settings.json"))).json();
  const bytes = new Uint8Array(await (await fetched(here(settings.network), say)).arrayBuffer());
  for (const provider of await providers()) {
    try {
      const network = await Network.open(settings, await runtime(provider), bytes, provider);
      const { size, schemes } = settings;
      const answers = await network.run(new Uint8Array(size * size * 3), [1, size, size, 3]);
      if (Object.keys(schemes).every((task) => answers[task].data.every(Number.isFinite)))
        return new Finder(settings, new Geometry(settings), network);
    } catch (problem) {
      if (provider === "wasm") throw problem;
      console.warn(`${provider}: ${problem.message}`);
    }
  }
  throw new Error("no provider");
}

// WebGPU where there is a graphics processor; ?provider=wasm in the address leaves it out.
async function providers() {
  const wanted = new URLSearchParams(location.search).get("provider");
  const adapter = wanted === "wasm" ? null : await navigator.gpu?.requestAdapter().catch(() => null);
  return adapter ? ["webgpu", "wasm"] : ["wasm"];
}

async function runtime(provider) {
  const [module, binary] = provider === "webgpu" ? ["webgpu", "threaded.asyncify"] : ["wasm", "threaded"];
  const ort = await import(here(`ort/ort.${module}.min.mjs`));
  ort.env.wasm.wasmPaths = here("ort/");
  ort.env.wasm.wasmBinary = await unpacked(here(`ort/ort-wasm-simd-${binary}.wasm.gz`));
  ort.env.wasm.proxy = provider === "wasm"; // in a worker: the page goes on answering
  ort.env.wasm.numThreads = crossOriginIsolated ? Math.min(4, navigator.hardwareConcurrency || 1) : 1;
  return ort;
}

// The bytes of a .gz, whether the host says of it that it is packed, and the browser has unpacked it, or not.
async function unpacked(address) {
  const bytes = await (await fetched(address, () => {})).arrayBuffer(), [first, second] = new Uint8Array(bytes, 0, 2);
  if (first !== 0x1f || second !== 0x8b) return bytes;
  return new Response(new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"))).arrayBuffer();
}

async function fetched(address, say) {
  const answer = await fetch(address);
  if (!answer.ok) throw new Error(`${address}: ${answer.status}`);
  const total = Number(answer.headers.get("content-length")) || 0;
  let read = 0;
  const counted = answer.body.pipeThrough(
    new TransformStream({
      transform(chunk, controller) {
        read += chunk.length;
        if (total) say(read / total);
        controller.enqueue(chunk);
      },
    }),
  );
  return new Response(counted);
}
