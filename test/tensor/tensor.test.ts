/**
 * Tensors and their lifetimes: what a scope frees and what it keeps, errors that name the shapes, and a device that
 * counts: a whole training step leaves no storage behind, frees nothing twice and uses no freed storage.
 */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { ShapeError } from "../../src/errors.js";
import { backward } from "../../src/tensor/autograd.js";
import type { Device, Kernels } from "../../src/tensor/device.js";
import { add, detach, mul, scale, sub } from "../../src/tensor/ops/arithmetic.js";
import { argmax, mean, rowStats, sum } from "../../src/tensor/ops/reduce.js";
import { causalAttention } from "../../src/tensor/ops/attention.js";
import { columns, reshape, sliceRows, takeAlongRows } from "../../src/tensor/ops/select.js";
import { crossEntropy, klDivergence } from "../../src/tensor/ops/loss.js";
import { embedding } from "../../src/tensor/ops/embedding.js";
import { swiglu } from "../../src/tensor/ops/activation.js";
import { layerNorm, rmsNorm } from "../../src/tensor/ops/norm.js";
import { linear } from "../../src/tensor/ops/matmul.js";
import { logSoftmax, softmax } from "../../src/tensor/ops/softmax.js";
import { rope } from "../../src/tensor/ops/rope.js";
import { Adamw } from "../../src/tensor/optim/optim.js";
import { createReferenceDevice } from "../../src/tensor/reference/reference-device.js";
import { sizeOf } from "../../src/tensor/shape.js";
import { keep, PackedMatrix, scope, Tensor } from "../../src/tensor/tensor.js";
import { drawValues } from "../support/gradients.js";
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
      expect.objectContaining({
        code: "shape-rank",
        message: expect.stringContaining("[2, 2] and 2 values") as string,
      }),
    );
  });

  test("that is used after it was freed throws, and the error says what to do", () => {
    const x = Tensor.from(device, [1, 2]);
    x.dispose();
    x.dispose(); // freeing twice is harmless
    expect(() => x.read()).toThrow(
      expect.objectContaining({
        name: "DeviceError",
        code: "tensor-disposed",
        message: expect.stringMatching(/\[2\] was used after it was freed; return it .* or keep\(\) it/) as string,
      }),
    );
    expect(() => add(x, Tensor.from(device, [1, 2]))).toThrow(/used after it was freed/);
  });
});

describe("scope", () => {
  test("keeps every tensor inside arrays and plain objects of its result", () => {
    const made = (): Tensor => Tensor.from(device, [1]);
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
function countingDevice(): { device: Device; live: () => number; created: () => number } {
  const inner = createReferenceDevice();
  const live = new Set<object>();
  const freed = new WeakSet();
  let created = 0;
  /** Arguments and results are storages, or arrays and plain objects of them ({ dx, dGain }, a rope table). */
  const visit = (value: unknown, each: (storage: object) => void): void => {
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
  const free = (storage: object): void => {
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

describe("a training step", () => {
  const T = 4;
  const C = 4;
  const H = 2;
  const G = 1;
  const V = 6;
  const F = 3; // time, hidden size, heads, key/value heads, vocabulary, MLP width
  const kv = (G * C) / H;

  test("leaks no storage, frees nothing twice, and leaves finite parameters", async () => {
    const { device, live, created } = countingDevice();
    let seed = 0;
    const parameter = (...shape: number[]): Tensor =>
      Tensor.from(device, drawValues(++seed, sizeOf(shape), { range: 0.5 }), shape, { requiresGrad: true });
    const weights = {
      table: parameter(V, C),
      gain: parameter(C),
      bias: parameter(C),
      qkv: parameter(C + 2 * kv, C),
      qkvBias: parameter(C + 2 * kv),
      up: parameter(2 * F, C),
      down: parameter(C, F),
      unembed: parameter(V, C),
    };
    const frozen = PackedMatrix.from(device, drawValues(99, C * C), [C, C], "int8");
    const table = {
      cos: Tensor.from(device, drawValues(98, T), [T, 1]),
      sin: Tensor.from(device, drawValues(97, T), [T, 1]),
    };
    const teacher = Tensor.from(device, drawValues(96, T * V), [T, V]);
    const positions = Array.from({ length: T }, (_, t) => t);

    const loss = (): Tensor => {
      const x = embedding(weights.table, [0, 5, 5, 2]); // [T, C]
      const fused = linear(layerNorm(x, weights.gain, weights.bias), weights.qkv, { bias: weights.qkvBias });
      const q = rope(columns(fused, 0, C), positions, table, H);
      const k = rope(columns(fused, C, C + kv), positions, table, G);
      const attended = linear(
        causalAttention(q, k, columns(fused, C + kv, C + 2 * kv), { heads: H, kvHeads: G }),
        frozen,
        { residual: x },
      );
      const y = linear(swiglu(linear(rmsNorm(attended, weights.gain), weights.up)), weights.down, {
        residual: attended,
      });
      const logits = linear(layerNorm(y, weights.gain), weights.unembed); // [T, C] -> [T, V]
      const logP = logSoftmax(logits);
      const entropy = scale(sum(mul(softmax(logits), logP), { axis: -1 }), -1);
      const top = takeAlongRows(softmax(logits), [0, 1, 1, 2, 2, 3, 3, 4], 2);
      const distilled = add(
        mean(klDivergence(teacher, logits, { temperature: 2 })),
        mean(crossEntropy(logits, [1, -1, 2, 3])),
      );
      return add(
        sub(distilled, mean(entropy)),
        mean(mul(reshape(top, [2, 4]), detach(sub(reshape(top, [2, 4]), Tensor.from(device, [1]))))),
      );
    };

    const optimiser = new Adamw(Object.values(weights), { maxGradientNorm: 1 });
    const permanent = live();
    for (let step = 0; step < 3; step++) {
      const start = created();
      const value = scope(() => {
        const tensor = loss();
        backward(tensor);
        return tensor;
      });
      expect(Number.isFinite((await value.read())[0])).toBe(true);
      expect(live()).toBe(permanent + Object.keys(weights).length + 1); // the gradients and the loss
      value.dispose();
      expect(await optimiser.step(0.01)).toBeGreaterThan(0);
      expect(live()).toBe(permanent);
      expect(created() - start).toBeGreaterThan(100); // storages were recorded
    }
    for (const weight of Object.values(weights)) expect((await weight.read()).every(Number.isFinite)).toBe(true);
    optimiser.dispose();
    for (const tensor of [...Object.values(weights), table.cos, table.sin, teacher, frozen]) tensor.dispose();
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
