/** Recording documents of which only some positions are judged. */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { recordDocuments } from "../../../src/calibrate/index.js";
import { attachHeads } from "../../../src/index.js";
import { ROW_STATS } from "../../../src/tensor/index.js";
import { smallModel } from "../../support/models.js";

describe("recording a document that counts from a position on", () => {
  it("gives the bits of the whole recording there, whatever the windows", async () => {
    const model = await smallModel();
    const heads = attachHeads(model, { exits: 2 });
    const { vocabSize } = model.config;
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.nat(vocabSize - 1), { minLength: 4, maxLength: 24 }),
        fc.nat(22),
        fc.integer({ min: 2, max: 12 }),
        async (ids, at, sequenceLength) => {
          const whole = await recordDocuments(heads, [ids], { sequenceLength });
          const recorded = whole.documents[0]!.positions;
          const from = at % recorded;
          const { documents } = await recordDocuments(heads, [{ ids, from }], { sequenceLength });
          expect(documents[0]!.positions).toBe(recorded - from);
          documents[0]!.exits.forEach(({ stats, agrees }, exit) => {
            const all = whole.documents[0]!.exits[exit]!;
            expect(stats).toEqual(all.stats.slice(from * ROW_STATS.width));
            expect(agrees).toEqual(all.agrees.slice(from));
          });
        },
      ),
      { numRuns: 40 },
    );
    heads.dispose();
  });
});
