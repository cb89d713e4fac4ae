/** Texts decoded together: rows that have left go on with those that have not, and no token changes by it. */
import { attachHeads, createPolicy, type Policy } from "early-exits";
import { Sequence } from "early-exits/model";
import { expect, it } from "vitest";
import { createSampler } from "../../../src/model/decode/decoder.js";
import { earlyExitDecoder } from "../../../src/exits/decode/decode.js";
import { createRng } from "../../../src/tensor/rng.js";
import { randomIds, smallByteModel } from "../../support/models.js";

const MARGIN = 0.2;
const heads = attachHeads(await smallByteModel(), { exits: [1, 2, 3] });

/** The depths of the last positions after one round for prompts of all lengths up to 8, and those of the tokens. */
async function depthsAfterRound(policy: Policy) {
  const requests = Array.from({ length: 8 }, (_, i) => {
    const sequence = new Sequence(heads.model);
    sequence.append(...randomIds(i + 1, 257, i));
    return { sequence, sampler: createSampler({}, createRng(0)), room: 1 };
  });
  const rounds = await earlyExitDecoder(heads, policy).next(requests);
  const run = requests.map(({ sequence }) => sequence.depthOf(sequence.length - 1));
  for (const { sequence } of requests) sequence.dispose();
  return { run, chosen: rounds.map(({ tokens }) => tokens[0]!.depth) };
}

it("takes all sequences through all blocks if one needs them", async () => {
  const { run, chosen } = await depthsAfterRound(createPolicy(heads, [MARGIN, MARGIN, MARGIN], { score: "margin" }));
  expect(new Set(chosen).size).toBeGreaterThan(1);
  expect(chosen).toContain(4);
  expect(run).toEqual(run.map(() => 4));
});

it("leaves them there if all leave at the first exit", async () => {
  const { run, chosen } = await depthsAfterRound(createPolicy(heads, ["always", "never", "never"], {}));
  expect([run, chosen]).toEqual([run.map(() => 1), run.map(() => 1)]);
});
