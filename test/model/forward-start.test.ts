/** A pass that begins with states of a depth is the rest of the whole pass, bit for bit. */
import { keyValueLayers } from "../../src/model/config.js";
import { createReferenceDevice, Tensor } from "early-exits/tensor";
import { describe, expect, it } from "vitest";
import { randomIds, smallConfigs, smallModel } from "../support/models.js";

describe.each(Object.keys(smallConfigs))("forward of %s", (name) => {
  it("goes on from the states of any depth", async () => {
    const device = createReferenceDevice();
    const model = await smallModel({ config: smallConfigs[name]!, device });
    const ids = randomIds(14, 61, 1);
    const whole = model.forward(ids, { batch: 2, wanted: () => true });
    const final = await whole.get(4)!.read();
    for (let depth = 0; depth < keyValueLayers(model.config); depth++) {
      const states = model.forward(ids, { batch: 2, start: { depth, states: whole.get(depth)! } });
      expect(await states.get(4)!.read()).toEqual(final);
    }
    const wrong = { depth: keyValueLayers(model.config), states: whole.get(0)! };
    expect(() => model.forward(ids, { batch: 2, start: wrong })).toThrow(/cannot start at depth/);
    const short = Tensor.from(device, new Float32Array(24), [1, 24]);
    expect(() => model.forward(ids, { start: { depth: 1, states: short } })).toThrow(/expected a depth from 0 to/);
  });
});
