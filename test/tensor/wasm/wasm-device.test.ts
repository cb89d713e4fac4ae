/** The wasm device as a whole: builds, typed errors, memory. Its kernels are tested in test/laws. */
import { afterEach, describe, expect, it, vi } from "vitest";
import { nodeHost } from "../../../src/node/host.js";
import type { Host } from "../../../src/tensor/host.js";
import { compileKernels, createWasmDevice } from "../../../src/tensor/wasm/wasm-device.js";
import { createDeviceOn } from "../../../src/tensor/create-device.js";
import { expectCode } from "../../support/expect-code.js";
import { times } from "../../support/lists.js";

/** A host that offers nothing but a clock. */
const bareHost: Host = { now: () => performance.now() };

describe("createWasmDevice", () => {
  afterEach(() => vi.restoreAllMocks());

  it("throws wasm-simd-missing where the engine has no WebAssembly", async () => {
    vi.stubGlobal("WebAssembly", undefined);
    await expectCode(() => createWasmDevice({ host: bareHost }), "wasm-simd-missing");
    vi.unstubAllGlobals();
  });

  it("leaves auto the reference device where the engine rejects SIMD; a wish by name still throws", async () => {
    vi.spyOn(WebAssembly, "validate").mockReturnValue(false);
    expect((await createDeviceOn(bareHost, "auto", {})).backend).toBe("reference");
    await expectCode(() => createDeviceOn(bareHost, "wasm", {}), "wasm-simd-missing");
    vi.restoreAllMocks();
    expect((await createDeviceOn(bareHost, "auto", {})).backend).toBe("wasm");
  });

  it("falls back to the portable build where relaxed SIMD is missing, and throws where it was asked for", async () => {
    const answers = () =>
      void vi
        .spyOn(WebAssembly, "validate")
        .mockReturnValueOnce(false)
        .mockReturnValueOnce(false)
        .mockReturnValue(true);
    answers();
    expect((await createWasmDevice({ host: bareHost })).info.description).toContain("portable");
    vi.restoreAllMocks();
    answers();
    await expectCode(() => createWasmDevice({ host: bareHost, build: "relaxed" }), "wasm-relaxed-missing");
  });

  it("takes the portable build where relaxed SIMD does not fuse", async () => {
    const { module } = await compileKernels("portable", { shared: false }, bareHost);
    vi.spyOn(WebAssembly, "compile").mockResolvedValueOnce(module);
    expect((await createWasmDevice({ host: nodeHost })).info.description).toContain("portable");
  });

  it("refuses storage that is foreign or freed, and everything after dispose", async () => {
    const device = await createWasmDevice({ host: nodeHost });
    const other = await createWasmDevice({ host: nodeHost });
    const { kernels } = device;
    const own = device.upload([1, 2, 3]);
    const foreign = other.upload([1, 2, 3]);
    await expectCode(() => kernels.scale(foreign, 2), "device-mixed");
    device.free(own);
    await expectCode(() => kernels.scale(own, 2), "storage-freed");
    await expectCode(() => device.free(own), "storage-freed");
    const late = device.upload([1]);
    await device.dispose();
    await expectCode(() => kernels.scale(late, 2), "device-disposed");
    await expectCode(() => device.upload([1]), "device-disposed");
    await other.dispose();
  });
});

it("attention gives rows together the bits of one by one where only some of the heads go together, too", async () => {
  const device = await createWasmDevice({ host: nodeHost });
  const heads = 5;
  const headDim = 4;
  const length = 2000;
  const rows = 8; // four heads' scores of eight rows fit what attention.as.ts allows; those of five do not
  const wave = (count: number, step: number) => Float32Array.from({ length: count }, (_, i) => Math.sin(step * i));
  const cache = device.createCache(heads, headDim, length);
  device.kernels.cacheWrite(
    [{ cache, positions: times(length, (i) => i) }],
    device.upload(wave(length * 2 * heads * headDim, 0.37)),
    undefined,
  );
  const q = wave(rows * heads * headDim, 1.7);
  const width = heads * headDim;
  const attend = (from: number, count: number) =>
    device.read(
      device.kernels.cacheAttention(
        [{ cache, positions: times(count, (r) => length - rows + from + r) }],
        device.upload(q.slice(from * width, (from + count) * width)),
        heads,
        undefined,
      ),
    );
  const together = await attend(0, rows);
  for (let r = 0; r < rows; r++) expect(await attend(r, 1)).toEqual(together.slice(r * width, (r + 1) * width));
  await device.dispose();
});
