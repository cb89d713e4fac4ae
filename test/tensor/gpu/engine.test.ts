/** The queue of the GPU device: order, lifetimes, and where errors surface. The backend is a stand-in with gates. */
import { expect, test } from "vitest";
import { DeviceError } from "../../../src/errors.js";
import { Engine } from "../../../src/tensor/gpu/engine.js";
import type { GpuJs } from "../../../src/tensor/gpu/gpujs.js";
import { expectCode } from "../../support/expect-code.js";
import { scale } from "../../../src/tensor/gpu/elementwise.js";

/** Runs `scale`; every run waits for its gate, as a kernel that is still compiling does. */
function slowEngine(gates: Promise<void>[] = []) {
  const log: string[] = [];
  const gpu = {
    maxBytes: 2 ** 20,
    upload(data: Float32Array) {
      log.push(`upload ${data.join()}`);
      return data;
    },
    async run(_source: unknown, _columns: number, _rows: number, [x, factor]: [Float32Array, number]) {
      await gates.shift();
      log.push(`run ${x.join()} by ${factor}`);
      return x.map((value) => value * factor);
    },
    read(handle: Float32Array) {
      log.push(`read ${handle.join()}`);
      return Promise.resolve(handle.slice());
    },
    delete: (handle: Float32Array) => void log.push(`delete ${handle.join()}`),
    dispose: () => Promise.resolve(void log.push("dispose")),
  };
  const lines = (beginning: string) => log.filter((line) => line.startsWith(beginning));
  return { engine: new Engine(gpu as unknown as GpuJs), log, lines };
}

test("keeps the order of the calls while a kernel compiles", async () => {
  let open: () => void = () => undefined;
  const { engine, log } = slowEngine([new Promise((resolve) => (open = resolve))]);
  const data = [1, 2];
  const x = engine.upload(data);
  data[0] = 9; // too late
  const y = engine.vector(scale, 2, { x, factor: 3 });
  const z = engine.vector(scale, 2, { x: y, factor: 2 });
  engine.free(x);
  engine.free(y);
  const reading = engine.read(z);
  await new Promise((resolve) => setTimeout(resolve, 5));
  expect(log).toEqual(["upload 0", "upload 1,2"]);
  open();
  expect(Array.from(await reading)).toEqual([6, 12]);
  expect(log.slice(2)).toEqual(["run 1,2 by 3", "run 3,6 by 2", "delete 1,2", "delete 3,6", "read 6,12"]);
});

test("a read in progress is unaffected by later frees and overwrites", async () => {
  const { engine } = slowEngine();
  const x = engine.upload([5]);
  const reading = engine.read(x);
  engine.replace(x, engine.upload([6]));
  expect([await reading, await engine.read(x)]).toEqual([Float32Array.of(5), Float32Array.of(6)]);
});

test("an error stops the device, and every later read reports it", async () => {
  const { engine, log } = slowEngine([Promise.reject(new Error("no shader"))]);
  const x = engine.upload([1]);
  const y = engine.vector(scale, 1, { x, factor: 2 });
  await expectCode(
    engine.read(y),
    "gpu-kernel",
    /^gpu: a kernel failed \(no shader\); results are missing, create a new device$/,
  );
  await expect(engine.read(x)).rejects.toThrow("no shader");
  engine.vector(scale, 1, { x, factor: 3 });
  await engine.dispose();
  expect(log).toEqual(["upload 0", "upload 1", "dispose"]);
});

test("after a loss, the first error is reported", async () => {
  const { engine } = slowEngine();
  const x = engine.upload([1]);
  await engine.read(x);
  engine.fail(new DeviceError("gpu-lost", "gpu: lost"));
  engine.fail(new DeviceError("gpu-kernel", "gpu: a later consequence"));
  await expectCode(engine.read(x), "gpu-lost");
});

test("scopes free what they made, and nothing else", async () => {
  const { engine, lines } = slowEngine();
  const x = engine.upload([1]);
  const kept = engine.scope(() => {
    const inner = engine.scope(() =>
      engine.vector(scale, 1, { x: engine.vector(scale, 1, { x, factor: 5 }), factor: 2 }),
    );
    engine.integers([7]);
    return engine.vector(scale, 1, { x: inner, factor: 3 });
  });
  await engine.read(kept);
  expect(lines("delete")).toEqual(["delete 5", "delete 10"]);
});

test("repeated integers are uploaded once, and freed eventually", async () => {
  const { engine, lines } = slowEngine();
  expect(engine.integers([1, 2])).toBe(engine.integers(Int32Array.of(1, 2)));
  expect(engine.integers([1])).not.toBe(engine.integers([1, 2]));
  for (let i = 10; i < 18; i++) engine.integers([i]);
  await engine.read(engine.upload([3]));
  expect(lines("delete")).toEqual(["delete 1", "delete 1,2"]);
  await engine.dispose();
  expect(lines("upload").length).toBe(lines("delete").length + 1);
});

test("storage of other devices, freed storage and a disposed device are refused at the call", async () => {
  const { engine } = slowEngine();
  const { engine: other } = slowEngine();
  const x = engine.upload([1]);
  const foreign = other.upload([1]);
  await expectCode(() => engine.vector(scale, 1, { x: foreign, factor: 1 }), "device-mixed");
  engine.free(x);
  engine.free(x); // twice is harmless
  await expectCode(() => engine.vector(scale, 1, { x, factor: 1 }), "storage-freed");
  const y = engine.upload([2]);
  await engine.dispose();
  await expectCode(() => engine.upload([1]), "device-disposed");
  await expectCode(() => engine.at(y), "device-disposed");
});

test("arrays too long for exact float indices are refused", () =>
  expect(() => slowEngine().engine.requireExact("scores", 2 ** 24 + 1)).toThrow(
    "gpu: scores of 16777217 elements; this kernel computes indices in float32, exact up to 16777216; use " +
      "smaller batches",
  ));
