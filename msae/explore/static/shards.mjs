/** @file Bytes as they lie in the page and in the files beside it: base64, gzip, blocks of latents, firings as steps. */

/** @import { Details } from "./manifest.mjs" */

/** @typedef {{ details: Details[], firings: Uint8Array }} Block some latents, one after another */
/** @typedef {{ positions: Uint32Array, q: Uint8Array }} Firings positions, ascending; the activation is q / 255 · max */

/** @param {string} text */
export function fromBase64(text) {
  if (typeof Uint8Array.fromBase64 === "function") return Uint8Array.fromBase64(text);
  const signs = atob(text);
  const bytes = new Uint8Array(signs.length);
  for (let i = 0; i < signs.length; i++) bytes[i] = signs.charCodeAt(i);
  return bytes;
}

/** @param {Uint8Array<ArrayBuffer>} bytes */
export async function gunzip(bytes) {
  return new Uint8Array(await new Response(new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"))).arrayBuffer());
}

/** @param {URL} url */
export async function loadShard(url) {
  if (url.protocol === "file:") return gunzip(fromBase64(await runShard(url.href.replace(/\.bin$/, ".js"))));
  const answer = await fetch(url);
  if (!answer.ok) throw new Error(`cannot load ${url}: ${answer.status}`);
  return gunzip(new Uint8Array(await answer.arrayBuffer()));
}

/** A page from a disk may fetch nothing, but it may run a script: that hands over the shard as base64. @param {string} address */
async function runShard(address) {
  const script = document.createElement("script");
  /** @type {Promise<string>} */
  const text = new Promise((resolve, reject) => {
    received.set(script, resolve);
    script.onerror = () => reject(new Error(`cannot load ${script.src}`));
  });
  Reflect.set(globalThis, "msaeShard", hand);
  script.src = address;
  document.head.append(script);
  try {
    return await text;
  } finally {
    script.remove();
  }
}

/** Who waits for what a script hands over. @type {WeakMap<object, (text: string) => void>} */
const received = new WeakMap();

/** @param {number} _ @param {string} text */
function hand(_, text) {
  if (document.currentScript) received.get(document.currentScript)?.(text);
}

/** @param {Uint8Array} bytes @returns {Block} */
export function openBlock(bytes) {
  const size = bytes.length ? new DataView(bytes.buffer, bytes.byteOffset).getUint32(0, true) : 0;
  const details = JSON.parse(new TextDecoder().decode(bytes.subarray(4, 4 + size)) || "[]");
  return { details, firings: bytes.subarray(4 + size) };
}

/**
 * The n firings that begin at a byte.
 *
 * @param {Uint8Array} bytes
 * @param {number} at
 * @param {number} n
 * @returns {Firings}
 */
export function decode(bytes, at, n) {
  const positions = new Uint32Array(n);
  for (let i = 0, position = 0; i < n; i++) {
    let step = 0, shift = 0, byte;
    do {
      byte = bytes[at++];
      step |= (byte & 127) << shift;
      shift += 7;
    } while (byte & 128);
    position += step;
    positions[i] = position;
  }
  return { positions, q: bytes.subarray(at, at + n) };
}
