/** A model whose KV cache is bfloat16 or int8: one rounding, whatever the way in which positions are computed. */
import { Sequence, storageOf } from "early-exits/model";
import { runTo } from "../../src/model/advance.js";
import { devicesHere } from "../support/devices.js";
import { describe, expect, it } from "vitest";
import { randomIds, smallModel } from "../support/models.js";

const devices = await devicesHere();
const ids = randomIds(23, 61, 1);

/** The state of the last position. */
const lastState = (sequence: Sequence) => sequence.hidden(sequence.length - 1).read();

function run(sequence: Sequence, ...given: readonly number[]) {
  sequence.append(...given);
  runTo(sequence, sequence.model.config.numLayers);
}

describe.each([
  ["wasm", "bfloat16"],
  ["wasm", "int8"],
  ["reference", "bfloat16"],
  ["reference", "int8"],
] as const)("on %s, a KV cache in %s", (name, kvCache) => {
  const device = devices[name];

  it("gives the same bits at once, one by one, after truncation and in a clone", async () => {
    const model = await smallModel({ device, kvCache });
    const whole = new Sequence(model);
    run(whole, ...ids);
    const expected = await lastState(whole);

    const single = new Sequence(model, 1); // its cache grows, and is copied
    for (const id of ids) run(single, id);
    expect(await lastState(single)).toEqual(expected);

    const clone = single.clone();
    clone.truncate(9);
    run(clone, ...ids.slice(9));
    expect(await lastState(clone)).toEqual(expected);

    const float32 = new Sequence(await smallModel({ device }), whole.length);
    run(float32, ...ids);
    expect(await lastState(float32)).not.toEqual(expected); // it does round
  });

  it("is part of how the model is stored, which certificates name", async () => {
    const model = await smallModel({ device, dtype: "int8", kvCache });
    expect(model.storedAs).toBe(`int8 with ${kvCache} cache`);
    expect(storageOf(model.storedAs)).toEqual({ dtype: "int8", kvCache });
    const plain = await smallModel({ device, dtype: "bfloat16" });
    expect(plain.storedAs).toBe("bfloat16");
    expect(storageOf("bfloat16")).toEqual({ dtype: "bfloat16", kvCache: "float32" });
    expect(new Sequence(model, 16).cacheBytes).toBeLessThan(0.8 * new Sequence(plain, 16).cacheBytes);
  });
});
