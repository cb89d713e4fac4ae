/**
 * `scopeInParts`: between its parts, tensors belong to whoever makes them; an abort or an exception frees what the
 * parts made. Work in parts gives the same result as work at once.
 */
import { createReferenceDevice, scope, sum, Tensor } from "early-exits/tensor";
import { scale } from "../../src/tensor/ops/arithmetic.js";
import { atOnce, type InParts } from "../../src/turns.js";
import { scopeInParts } from "../../src/tensor/tensor.js";
import { describe, expect, it } from "vitest";
import { backward, backwardInParts } from "../../src/tensor/autograd.js";
import { isFreed } from "./is-freed.js";

const device = createReferenceDevice();
const made = (value = 1) => Tensor.from(device, [value]);
describe("scopeInParts", () => {
  it("frees what its parts made, except the result", async () => {
    const temporary: Tensor[] = [];
    const result = await scopeInParts(function* () {
      temporary.push(made(2));
      yield;
      temporary.push(scale(temporary[0]!, 3));
      yield;
      return scale(temporary[1]!, 5);
    });
    expect(temporary.map(isFreed)).toEqual([true, true]);
    expect(Array.from(await result.read())).toEqual([30]);
  });

  it("owns nothing that others make between its parts, whichever way they interleave", async () => {
    const others: Tensor[] = [];
    const work = async (value: number) =>
      scopeInParts(function* () {
        let total = made(value);
        for (let part = 0; part < 20; part++) {
          yield;
          total = scope(() => scale(scale(total, 2), 0.5));
        }
        return total;
      });
    const beside = async () => {
      for (let i = 0; i < 20; i++) {
        others.push(made(i));
        await Promise.resolve();
      }
    };
    const [one, two] = await Promise.all([work(3), work(4), beside()]);
    expect([...(await one.read()), ...(await two.read())]).toEqual([3, 4]);
    expect(others.some(isFreed)).toBe(false);
  });

  it("rejects with the reason of its signal at the next part, and frees what it made", async () => {
    const controller = new AbortController();
    const reason = new Error("enough");
    const seen: Tensor[] = [];
    const running = scopeInParts(function* () {
      seen.push(made());
      controller.abort(reason);
      yield;
      seen.push(made());
      return seen[0]!;
    }, controller.signal);
    await expect(running).rejects.toBe(reason);
    expect(seen.map(isFreed)).toEqual([true]);
  });

  it("passes an exception on, and frees what it made", async () => {
    const seen: Tensor[] = [];
    const running = scopeInParts(function* (): InParts<Tensor> {
      seen.push(made());
      yield;
      throw new RangeError("inside");
    });
    await expect(running).rejects.toEqual(new RangeError("inside"));
    expect(seen.map(isFreed)).toEqual([true]);
    const after = made();
    expect(isFreed(after)).toBe(false); // no scope is left open
  });
});

it("backwardInParts adds the gradients that backward adds", () => {
  const gradientOf = (flow: (loss: Tensor) => void) => {
    const x = Tensor.from(device, [1, -2, 3], [3], { requiresGrad: true });
    flow(sum(scale(x, 7)));
    return Array.from(x.grad!.storage as unknown as Float32Array);
  };
  expect(gradientOf((loss) => atOnce(backwardInParts(loss)))).toEqual(gradientOf(backward));
});
