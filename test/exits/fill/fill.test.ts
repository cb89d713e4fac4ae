/** Approximate fills: every position is complete, whatever happens. */
import { between, fc, real, test } from "../../support/property.js";
import type { ExitHeads } from "early-exits";
import { Sequence } from "early-exits/model";
import { runTo } from "../../../src/model/advance.js";
import { describe, expect } from "vitest";
import { fills } from "../../../src/exits/fill/fill.js";
import { device, names, setup } from "./setup.js";

const action = fc.oneof(
  {
    weight: 8,
    arbitrary: fc.record({
      kind: fc.constant("token" as const),
      id: between(0, 58),
      exit: fc.option(between(0, 2), { nil: undefined }),
    }),
  },
  {
    weight: 1,
    arbitrary: fc.record({
      kind: fc.constantFrom("truncate" as const, "replay" as const),
      share: real(0, 1),
    }),
  },
  { weight: 1, arbitrary: fc.constant({ kind: "clone" as const }) },
);

/** Runs one more token to an exit and fills, or to full depth. */
function run(heads: ExitHeads, sequence: Sequence, id: number, exit: number | undefined) {
  const depth = exit === undefined ? 4 : heads.depths[exit]!;
  sequence.append(id);
  runTo(sequence, depth);
  if (exit !== undefined) fills.project.apply(heads, sequence, sequence.length - 1, exit);
}

describe("the approximate fill", () => {
  test.prop([fc.constantFrom(...names), fc.array(action, { minLength: 1, maxLength: 10 })], { numRuns: 40 })(
    "every position is complete after its token, and replaying a cut suffix gives the same bits",
    async (name, actions) => {
      const { model, heads } = await setup(name);
      expect(fills.project.exact).toBe(false);
      let sequence = new Sequence(model, 2); // grows on the way
      let exits: (number | undefined)[] = [];
      for (const step of actions) {
        if (step.kind === "token") {
          run(heads, sequence, step.id, step.exit);
          exits.push(step.exit);
        } else if (step.kind === "clone") {
          const copy = sequence.clone();
          sequence.dispose();
          sequence = copy;
        } else {
          const length = Math.floor(step.share * sequence.length);
          const cut = sequence.ids.slice(length);
          sequence.truncate(length);
          if (step.kind === "truncate") exits = exits.slice(0, length);
          else for (const [i, id] of cut.entries()) run(heads, sequence, id, exits[length + i]);
        }
        if (sequence.length === 0) continue;
        expect(sequence.ids.map((_, s) => sequence.depthOf(s))).toEqual(sequence.ids.map(() => 4));
        // The same tokens, leaving at the same exits, from the start.
        const other = new Sequence(model);
        for (const [s, id] of sequence.ids.entries()) run(heads, other, id, exits[s]);
        for (let layer = 0; layer < 4; layer++) {
          expect(await device.readCache(sequence.cache(layer), 0, sequence.length)).toEqual(
            await device.readCache(other.cache(layer), 0, sequence.length),
          );
        }
        other.dispose();
      }
      sequence.dispose();
    },
  );
});
