/**
 * Tensors and their lifetimes: what a scope frees and what it keeps, errors that name the shapes, and a device that
 * counts: training leaves no storage behind, frees nothing twice and uses no freed storage.
 */
import { attachHeads, createModel, pretrain, trainHeads } from "early-exits";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { ShapeError } from "../../src/errors.js";
import type { Device, Kernels } from "../../src/tensor/device.js";
import { add } from "../../src/tensor/ops/arithmetic.js";
import { argmax, rowStats } from "../../src/tensor/ops/reduce.js";
import { sliceRows } from "../../src/tensor/ops/select.js";
import { createReferenceDevice } from "../../src/tensor/reference/reference-device.js";
import { keep, PackedMatrix, scope, Tensor } from "../../src/tensor/tensor.js";
import { failing } from "../support/expect-code.js";
import { randomDocuments, randomIds, smallConfigs, smallModel } from "../support/models.js";
import { isFreed } from "./is-freed.js";

const device = createReferenceDevice();

describe("a tensor", () => {
  test("gives back what was uploaded, as float32, and owns a copy", async () => {
    const data = Float32Array.of(1, 2, 3, 4, 5, 6);
    const x = Tensor.from(device, data, [2, 3]);
    data[0] = 99;
    expect(await x.read()).toEqual(Float32Array.of(1, 2, 3, 4, 5, 6));
    const copy = await x.read();
    copy[0] = 99;
    expect((await x.read())[0]).toBe(1);
    expect([x.size, x.shape, x.requiresGrad, x.node, x.grad]).toEqual([6, [2, 3], false, undefined, undefined]);
  });

  test("is a vector unless a shape is given; a scalar has the empty shape", async () => {
    expect(Tensor.from(device, [1, 2, 3]).shape).toEqual([3]);
    expect(await Tensor.from(device, [0.1], []).read()).toEqual(Float32Array.of(0.1));
  });

  test("refuses data that do not fill its shape, and names both", () => {
    expect(() => Tensor.from(device, [1, 2, 3], [2, 2])).toThrow(
      expect.objectContaining({
        name: "ShapeError",
        code: "shape-size",
        message: "Tensor.from: shape [2, 2] has 4 elements, the data 3",
        details: { shape: [2, 2], length: 3 },
      }),
    );
    expect(() => new Tensor(device, device.upload([1]), [2])).toThrow(ShapeError);
    expect(() => PackedMatrix.from(device, Float32Array.of(1, 2), [2, 2])).toThrow(
      failing("shape-rank", "[2, 2] and 2 values"),
    );
  });

  test("that is used after it was freed throws, and the error says what to do", () => {
    const x = Tensor.from(device, [1, 2]);
    x.dispose();
    x.dispose(); // freeing twice is harmless
    expect(() => x.read()).toThrow(
      failing("tensor-disposed", /\[2\] was used after it was freed; return it .* or keep\(\) it/),
    );
    expect(() => add(x, Tensor.from(device, [1, 2]))).toThrow(/used after it was freed/);
  });
});

describe("scope", () => {
  test("keeps every tensor inside arrays and plain objects of its result", () => {
    const made = () => Tensor.from(device, [1]);
    const result = scope(() => ({
      one: made(),
      list: [made(), { deep: made() }],
      text: "text",
      none: null,
      nothing: undefined,
      count: 3,
    }));
    expect([result.one, result.list[0] as Tensor, (result.list[1] as { deep: Tensor }).deep].map(isFreed)).toEqual([
      false,
      false,
      false,
    ]);
  });

  test("leaves a tensor from outside alone, even as its result", () => {
    const outside = Tensor.from(device, [1]);
    expect(scope(() => outside)).toBe(outside);
    scope(() => scope(() => outside));
    expect(isFreed(outside)).toBe(false);
  });

  test("passes an exception on and frees everything it made, at every level", () => {
    const made: Tensor[] = [];
    const make = (): Tensor => {
      made.push(Tensor.from(device, [1]));
      return made.at(-1)!;
    };
    expect(() =>
      scope(() => {
        make();
        return scope(() => {
          make();
          throw new RangeError("inside");
        });
      }),
    ).toThrow(new RangeError("inside"));
    expect(made.map(isFreed)).toEqual([true, true]);
    const after = make();
    expect(isFreed(after)).toBe(false); // no scope is left open
    expect(isFreed(scope(() => make()))).toBe(false);
  });

  test("refuses a promise, whose tensors it would free too early", () =>
    expect(() => scope(() => Promise.resolve())).toThrow(failing("scope-async")));

  test("keep() takes a tensor out of all scopes around it", () => {
    let kept: Tensor | undefined;
    scope(() =>
      scope(() => {
        kept = keep(Tensor.from(device, [1]));
      }),
    );
    expect(isFreed(kept!)).toBe(false);
  });

  test("frees exactly what is not returned, for any nesting", () => {
    type Plan = { readonly make: number; readonly returned: number; readonly inside: readonly Plan[] };
    const planOf = (depth: number): fc.Arbitrary<Plan> =>
      fc.record({
        make: fc.nat(3),
        returned: fc.nat(3),
        inside: depth === 1 ? fc.constant([]) : fc.array(planOf(depth - 1), { maxLength: 2 }),
      });
    fc.assert(
      fc.property(planOf(3), (plan) => {
        const all: Tensor[] = [];
        const run = ({ make, returned, inside }: Plan): Tensor[] =>
          scope(() => {
            const mine = Array.from({ length: make }, () => Tensor.from(device, [1]));
            all.push(...mine);
            return [...mine, ...inside.flatMap(run)].slice(0, returned);
          });
        const result = new Set(run(plan));
        for (const tensor of all) expect(isFreed(tensor)).toBe(!result.has(tensor));
      }),
    );
  });
});

/**
 * A reference device that records its storages, and throws if one is freed twice or used after it was freed.
 */
function countingDevice() {
  const inner = createReferenceDevice();
  const live = new Set<object>();
  const freed = new WeakSet();
  let created = 0;
  /** Arguments and results are storages, or arrays and plain objects of them ({ dx, dGain }, a rope table). */
  const visit = (value: unknown, each: (storage: object) => void) => {
    if (value instanceof Float32Array || (typeof value === "object" && value !== null && "dtype" in value)) each(value);
    else if (typeof value === "object" && value !== null && !ArrayBuffer.isView(value)) {
      for (const part of Object.values(value)) visit(part, each);
    }
  };
  const watched =
    <A extends unknown[], R>(run: (...args: A) => R) =>
    (...args: A): R => {
      visit(args, (storage) => {
        if (freed.has(storage)) throw new Error("a freed storage was used");
      });
      const result = run(...args);
      visit(result, (storage) => {
        if (!live.has(storage)) created++;
        live.add(storage);
      });
      return result;
    };
  const free = (storage: object) => {
    if (!live.delete(storage)) throw new Error("a storage was freed twice");
    freed.add(storage);
    if (storage instanceof Float32Array) storage.fill(NaN); // a later use shows up as NaN
  };
  const kernels = Object.fromEntries(
    Object.entries(inner.kernels).map(([name, kernel]) => [name, watched(kernel as (...args: unknown[]) => unknown)]),
  ) as unknown as Kernels;
  const device: Device = {
    ...inner,
    kernels,
    upload: (data) => watched(() => inner.upload(data))(),
    createPacked: (rows, columns, dtype) => watched(() => inner.createPacked(rows, columns, dtype))(),
    free,
    freePacked: free,
  };
  return { device, live: () => live.size, created: () => created };
}

describe("training on such a device", () => {
  test.for(["gpt2", "llama"])("leaks no storage, frees nothing twice and uses nothing freed: %s", async (name) => {
    const { device, live, created } = countingDevice();
    const config = smallConfigs[name]!;
    const fresh = createModel(config, { device, seed: 1 });
    const text = Uint32Array.from(randomIds(200, 61, 1));
    const run = (steps: number) => pretrain(fresh, text, { steps, batchSize: 1, sequenceLength: 5 });
    await run(1); // rotary tables stay
    const kept = live();
    expect((await run(2))!.loss).toBeLessThan(10); // and no NaN, which freed storage holds
    expect(live()).toBe(kept);
    expect(created()).toBeGreaterThan(500); // storages were recorded
    fresh.dispose();

    const model = await smallModel({ config, device, dtype: "int8" });
    const heads = attachHeads(model, { exits: [1, 3] });
    const losses = [
      { kind: "kl", temperature: 2, topK: 5 },
      { kind: "penalized", weight: 0.5 },
    ] as const;
    for (const loss of losses) await trainHeads(heads, randomDocuments(3, 6), { steps: 2, loss });
    heads.dispose();
    model.dispose();
    expect(live()).toBe(0);
  });

  test("reading back argmax leaves nothing", async () => {
    const { device, live } = countingDevice();
    const x = Tensor.from(device, [1, 3, 2, 5, 4, 4], [2, 3]);
    expect(await argmax(x)).toEqual([1, 0]);
    scope(() => [rowStats(x), sliceRows(x, 0, 1)].length);
    expect(live()).toBe(1);
  });
});
