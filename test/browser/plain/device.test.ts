/** A page without the headers of cross-origin isolation: one thread, and a reason why there are no more. */
import { createDevice } from "early-exits/browser";
import { expect, it } from "vitest";
import { golden, inWorker } from "../support/in-worker.js";

it("this page is not isolated", () => expect(crossOriginIsolated).toBe(false));

it("the wasm device runs on one thread without shared memory, on the page and in a worker", async () => {
  const device = await createDevice("wasm");
  expect(await device.read(device.kernels.scale(device.upload([1, 2, 3]), 2))).toEqual(Float32Array.of(2, 4, 6));
  const { url, numbers } = await golden("gpt2-tiny");
  expect(await inWorker({ threads: 1, url, ids: numbers.inputIds })).toMatchObject({
    ok: true,
    greedy: numbers.greedy24,
  });
});

it("two threads in a worker are refused, and the error names the headers", async () => {
  const { url, numbers } = await golden("gpt2-tiny");
  const refused = await inWorker({ threads: 2, url, ids: numbers.inputIds });
  expect(refused).toMatchObject({ ok: false, code: "wasm-threads-missing" });
  expect(JSON.stringify(refused)).toContain("Cross-Origin-Embedder-Policy: require-corp");
});
