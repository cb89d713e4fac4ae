/** What turns blocks into numbers, loaded when a tensor has some: a page that reads safetensors needs none of it. */
import type { decodeGguf } from "./decode.js";
import type { ggufIntegers } from "./integers.js";

export async function loadGgufDecoder(): Promise<typeof decodeGguf> {
  return (await import("./decode.js")).decodeGguf;
}

export async function loadGgufIntegers(): Promise<typeof ggufIntegers> {
  return (await import("./integers.js")).ggufIntegers;
}
