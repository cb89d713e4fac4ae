/**
 * Threads of the wasm device: the same bits for any number of them, and what happens if a worker, or the means to have
 * one, is missing.
 */
import { execFile } from "node:child_process";
import { join } from "node:path";
import { promisify } from "node:util";
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from "vitest";
import { nodeHost } from "../../../src/node/host.js";
import {
  type CacheDtype,
  type Kernels,
  type Storage,
  type WeightDtype,
  weightDtypes,
} from "../../../src/tensor/device.js";
import type { Host, HostWorker } from "../../../src/tensor/host.js";
import { Guard } from "../../../src/tensor/wasm/guard.js";
import { chunkSize } from "../../../src/tensor/wasm/threads.js";
import { createWasmDevice, type WasmDevice } from "../../../src/tensor/wasm/wasm-device.js";
import { values as valuesOf } from "../../laws/kernels/law.js";
import { expectCode } from "../../support/expect-code.js";
import { casesHere } from "../../support/cases-here.js";
import { sumOf, times } from "../../support/lists.js";

afterEach(() => vi.restoreAllMocks());
/** On a busy machine the guard would keep work from the workers; tests of bits need them to take part. */
const allowAll = (): void => void vi.spyOn(Guard.prototype, "allows").mockReturnValue(true);

interface Work {
  readonly name: string;
  readonly run: (device: WasmDevice, kernels: Kernels) => Storage | readonly Storage[];
}

const values = (name: string, length: number) => valuesOf(3, name, length);

function linear(dtype: WeightDtype, rows: number, n: number, k: number): Work {
  return {
    name: `linear ${dtype} ${rows} x ${k} x ${n}`,
    run(device, kernels) {
      const weight = device.createPacked(n, k, dtype);
      device.packRows(weight, 0, values("w", n * k));
      const [x, bias, residual] = [values("x", rows * k), values("bias", n), values("residual", rows * n)].map((data) =>
        device.upload(data),
      );
      return [kernels.linear(x!, weight, rows, bias, residual), kernels.linearBackward(residual!, weight, rows)];
    },
  };
}

function matmul(m: number, n: number, k: number, transposeA: boolean, transposeB: boolean): Work {
  return {
    name: `matmul ${m} x ${k} x ${n}${transposeA ? ", a transposed" : ""}${transposeB ? ", b transposed" : ""}`,
    run: (device, kernels) =>
      kernels.matmul(device.upload(values("a", m * k)), device.upload(values("b", k * n)), {
        m,
        n,
        k,
        transposeA,
        transposeB,
      }),
  };
}

function cacheAttention(
  heads: number,
  kvHeads: number,
  headDim: number,
  length: number,
  rows: number,
  dtype: CacheDtype = "float32",
): Work {
  return {
    name: `cacheAttention ${dtype} ${rows} rows, ${heads} heads on ${kvHeads} of ${headDim}, ${length} positions`,
    run(device, kernels) {
      const cache = device.createCache(kvHeads, headDim, length + 3, dtype);
      const rope = {
        cos: device.upload(values("cos", length * 4)),
        sin: device.upload(values("sin", length * 4)),
        rotaryDim: 8,
      };
      const positions = times(length, (i) => i);
      kernels.cacheWrite([{ cache, positions }], device.upload(values("kv", length * 2 * kvHeads * headDim)), rope);
      return kernels.cacheAttention(
        [{ cache, positions: positions.slice(-rows) }],
        device.upload(values("q", rows * heads * headDim)),
        heads,
        rope,
      );
    },
  };
}

/** Texts of different lengths, each with its own cache and from 1 to 3 rows. */
function cacheAttentionOfTexts(texts: number, heads: number, kvHeads: number, headDim: number): Work {
  return {
    name: `cacheAttention of ${texts} texts, ${heads} heads on ${kvHeads} of ${headDim}`,
    run(device, kernels) {
      const segments = times(texts, (i) => {
        const length = 5 + ((i * 29) % 60);
        const cache = device.createCache(kvHeads, headDim, length + (i % 7), "float32");
        const positions = times(length, (at) => at);
        const kv = device.upload(values(`kv ${i}`, length * 2 * kvHeads * headDim));
        kernels.cacheWrite([{ cache, positions }], kv, undefined);
        return { cache, positions: positions.slice(-1 - (i % 3)) };
      });
      const rows = sumOf(segments, ({ positions }) => positions.length);
      const q = device.upload(values("q", rows * heads * headDim));
      const each = segments.map((segment, i) => {
        const before = sumOf(segments.slice(0, i), ({ positions }) => positions.length);
        const part = device.upload(
          values("q", rows * heads * headDim).subarray(
            before * heads * headDim,
            (before + segment.positions.length) * heads * headDim,
          ),
        );
        return kernels.cacheAttention([segment], part, heads, undefined);
      });
      return [kernels.cacheAttention(segments, q, heads, undefined), ...each];
    },
  };
}

function attention(batch: number, time: number, heads: number, kvHeads: number, headDim: number): Work {
  return {
    name: `attention and its gradient ${batch} x ${time}, ${heads} heads on ${kvHeads} of ${headDim}`,
    run(device, kernels) {
      const drawn = (name: string, count: number) => device.upload(values(name, batch * time * count * headDim));
      const [q, dy, k, v] = [drawn("q", heads), drawn("dy", heads), drawn("k", kvHeads), drawn("v", kvHeads)] as const;
      const dims = { batch, time, heads, kvHeads, headDim };
      return [kernels.attention(q, k, v, dims), ...Object.values(kernels.attentionBackward(q, k, v, dy, dims))];
    },
  };
}

function everyRowKernel(rows: number, width: number): Work {
  return {
    name: `kernels over ${rows} rows of ${width}`,
    run(device, kernels) {
      const [x, y, gain, bias, dLoss, wide] = [rows * width, rows * width, width, width, rows, 2 * rows * width].map(
        (length, i) => device.upload(values(`${i}`, length)),
      );
      const targets = times(rows, (i) => (i * 7) % width);
      return [
        kernels.softmax(x!, rows, width),
        kernels.softmaxBackward(y!, x!, rows, width),
        kernels.logSoftmax(x!, rows, width),
        kernels.logSoftmaxBackward(y!, x!, rows, width),
        kernels.rowStats(x!, rows, width),
        kernels.rowArgmax(x!, rows, width),
        kernels.layerNorm(x!, gain!, bias, rows, width, 1e-5),
        kernels.rmsNorm(x!, gain!, rows, width, 1e-6),
        kernels.crossEntropy(x!, targets, rows, width),
        kernels.crossEntropyBackward(x!, targets, dLoss!, rows, width),
        kernels.kl(x!, y!, rows, width, 1.5),
        kernels.klBackward(x!, y!, dLoss!, rows, width, 1.5),
        kernels.swiglu(wide!, rows, width),
        kernels.swigluBackward(wide!, x!, rows, width),
      ];
    },
  };
}

const works: readonly Work[] = [
  ...weightDtypes.flatMap((dtype) => [
    linear(dtype, 1, 1000, 333),
    linear(dtype, 1, 2051, 258),
    linear(dtype, 3, 777, 129),
    linear(dtype, 5, 1051, 256),
    linear(dtype, 40, 601, 300),
    linear(dtype, 75, 301, 130),
  ]),
  matmul(65, 523, 131, false, false),
  matmul(33, 301, 257, true, false),
  matmul(50, 399, 64, false, true),
  matmul(64, 300, 70, true, true),
  cacheAttention(64, 8, 8, 1100, 8), // more scores than heads may have that go together
  cacheAttention(6, 3, 33, 211, 5),
  cacheAttention(9, 3, 64, 300, 75),
  cacheAttention(12, 4, 32, 130, 70),
  cacheAttention(12, 4, 32, 130, 70, "bfloat16"),
  cacheAttention(12, 4, 32, 130, 70, "int8"),
  cacheAttentionOfTexts(8, 9, 3, 64),
  attention(3, 37, 6, 2, 17),
  attention(1, 130, 5, 5, 64),
  everyRowKernel(67, 333),
  everyRowKernel(5, 9001),
];

describe.each(["portable", "relaxed"] as const)("every threaded kernel, %s", (build) => {
  const devices: WasmDevice[] = [];
  beforeAll(async () => {
    for (const threads of [1, 2, 3]) devices.push(await createWasmDevice({ build, threads, host: nodeHost }));
  });
  afterAll(() => Promise.all(devices.map((device) => device.dispose())));

  it.each(works)("$name has the same bits on 1, 2 and 3 threads", async ({ run }) => {
    allowAll();
    const found: Uint32Array[][] = [];
    for (const device of devices) {
      for (let time = 0; time < (device.info.threads === 1 ? 1 : casesHere(3)); time++) {
        const results = [run(device, device.kernels)].flat();
        found.push(
          (await Promise.all(results.map((storage) => device.read(storage)))).map(
            (data) => new Uint32Array(data.slice().buffer),
          ),
        );
      }
    }
    found.forEach((bits, at) =>
      bits.forEach((own, output) => {
        const place = own.findIndex((word, i) => word !== found[0]![output]![i]);
        expect(place, `first other bit of output ${output}, call ${at}`).toBe(-1);
      }),
    );
  });
});

describe("a device with threads", () => {
  it(
    "throws wasm-threads-missing where there are no workers or no shared memory, and refuses numbers that are " +
      "none",
    async () => {
      const bareHost: Host = { now: () => performance.now() };
      await expectCode(() => createWasmDevice({ host: bareHost, threads: 2 }), "wasm-threads-missing");
      expect((await createWasmDevice({ host: bareHost, threads: 1 })).info.threads).toBe(1);
      vi.stubGlobal("SharedArrayBuffer", undefined);
      await expectCode(() => createWasmDevice({ host: nodeHost, threads: 2 }), "wasm-threads-missing");
      vi.unstubAllGlobals();
      for (const threads of [0, 1.5, NaN, 65]) {
        await expect(createWasmDevice({ host: nodeHost, threads })).rejects.toThrow("threads");
      }
    },
  );

  it("ends its workers with dispose, and throws afterwards", async () => {
    const { host, workers } = watched();
    const device = await createWasmDevice({ host, threads: 3 });
    const x = device.upload([1, 2, 3]);
    expect(workers.length).toBe(2);
    await device.dispose();
    expect(workers.map(({ ended }) => ended)).toEqual([true, true]);
    await expectCode(() => device.kernels.scale(x, 2), "device-disposed");
    await expectCode(() => device.read(x), "device-disposed");
  });

  it("lets the process exit while it is idle", async () => {
    const script = `
      import { nodeHost } from "./src/node/host.ts";
      import { createWasmDevice } from "./src/tensor/wasm/wasm-device.ts";
      const device = await createWasmDevice({ threads: 2, host: nodeHost });
      const weight = device.createPacked(2048, 512, "float32");
      const x = device.upload(new Float32Array(512));
      for (let i = 0; i < 50; i++) device.free(device.kernels.linear(x, weight, 1, undefined, undefined));
      console.log(device.info.threads);`;
    const { stdout } = await promisify(execFile)(
      process.execPath,
      ["--import", "tsx", "--input-type=module", "-e", script],
      { cwd: join(import.meta.dirname, "../../.."), timeout: 60_000 },
    );
    expect(stdout).toBe("2\n");
  });
});

it.each([1, 2, 3])("attention gives texts together the bits that each gets alone, %d threads", async (threads) => {
  allowAll();
  const device = await createWasmDevice({ host: nodeHost, threads });
  const results = [cacheAttentionOfTexts(150, 6, 3, 24).run(device, device.kernels)].flat();
  const [together, ...alone] = await Promise.all(results.map((storage) => device.read(storage)));
  expect([...together!]).toEqual(alone.flatMap((rows) => [...rows]));
  await device.dispose();
});

describe("a lost worker", () => {
  it("that ended while idle is reported at the next use", async () => {
    const { host, kill } = watched();
    const device = await createWasmDevice({ host, threads: 2 });
    const x = device.upload([1, 2, 3]);
    kill();
    await vi.waitFor(() => expectCode(() => device.kernels.scale(x, 2), "wasm-worker-lost"));
    await expectCode(() => device.read(x), "wasm-worker-lost");
    await expectCode(() => device.upload([1]), "wasm-worker-lost");
    await device.dispose();
  });

  it.each([
    ["whose kernel throws is reported by that kernel", "throw new Error('out of luck');"],
    ["that never finishes its part is reported, not waited for", "for (;;);"],
    // process.exit in a worker ends its thread on the spot: no handler runs, and the chunk is never counted as done.
    ["that dies in the middle of a chunk is reported, too", "process.exit(1);"],
  ])("%s", async (_, body) => {
    allowAll();
    const { host, workers } = watched(body);
    // ten seconds of patience in half a second
    const device = await createWasmDevice({ host: { ...host, now: () => 20 * performance.now() }, threads: 2 });
    const started = performance.now();
    // Of many products: the worker may sleep through a call or two.
    const work = () => times(200, () => linear("float32", 1, 4096, 512).run(device, device.kernels));
    await expectCode(work, "wasm-worker-lost");
    expect(performance.now() - started).toBeLessThan(8000);
    await expectCode(() => device.upload([1]), "wasm-worker-lost");
    if (body.includes("exit")) {
      await vi.waitFor(() => expect(workers[0]!.failed).toBe("the worker exited with code 1"));
    }
    await device.dispose();
  });

  it("that cannot start is reported by createDevice", async () => {
    const spawnWorker: Host["spawnWorker"] = (_script, onMessage, onFailure) =>
      nodeHost.spawnWorker!("throw new Error('no');", onMessage, onFailure);
    await expectCode(createWasmDevice({ host: { ...nodeHost, spawnWorker }, threads: 2 }), "wasm-worker-lost");
  });
});

/** A host that records its workers. `body` replaces the body of a worker's `linear`; `kill` ends them from outside. */
function watched(body?: string) {
  const workers: { ended: boolean; failed?: string; worker: HostWorker }[] = [];
  let fail: ((reason: Error) => void)[] = [];
  const prefix =
    body === undefined
      ? ""
      : "WebAssembly.Instance = class extends WebAssembly.Instance { get exports() { return { ...super.exports, " +
        `linear() { ${body} } }; } };`;
  const spawnWorker: Host["spawnWorker"] = (script, onMessage, onFailure) => {
    const worker = nodeHost.spawnWorker!(prefix + script, onMessage, (reason) => {
      entry.failed = reason.message;
      onFailure(reason);
    });
    const entry: (typeof workers)[number] = { ended: false, worker };
    workers.push(entry);
    fail.push(onFailure);
    return {
      post: (message) => worker.post(message),
      terminate: () => worker.terminate().then(() => void (entry.ended = true)),
    };
  };
  return {
    host: { ...nodeHost, spawnWorker },
    workers,
    kill: () => {
      for (const { worker } of workers) void worker.terminate();
      for (const report of fail) report(new Error("ended from outside"));
      fail = [];
    },
  };
}

describe("a kernel's items", () => {
  const chunks = (items: number, us: number, least: number, threads: number) =>
    Math.ceil(items / chunkSize({ items, us, least }, threads));

  it("are cut into chunks whose number is a multiple of the number of threads", () => {
    expect(chunkSize({ items: 36, us: 1500, least: 8 }, 2)).toBe(9); // four chunks; of eight items, it would be five
    expect(chunkSize({ items: 24, us: 1500, least: 8 }, 2)).toBe(12);
    expect(chunks(192, 9000, 8, 2)).toBe(16);
    expect(chunks(3072, 2800, 1, 2)).toBe(16);
  });

  it("are cut into as many chunks as the least work allows, if those are fewer than the threads", () => {
    expect(chunks(24, 1500, 8, 4)).toBe(3);
    expect(chunks(3, 500, 1, 2)).toBe(2);
    expect(chunks(1, 500, 1, 2)).toBe(1);
    expect(chunkSize({ items: 0, us: 1 }, 2)).toBe(0);
  });

  it("have at most 1,023 chunks, and none longer than 20 ms unless a single item is", () => {
    expect(chunks(1e6, 1e9, 1, 2)).toBeLessThanOrEqual(1023);
    expect(chunkSize({ items: 192, us: 10e6, least: 1 }, 2)).toBe(1);
  });
});
