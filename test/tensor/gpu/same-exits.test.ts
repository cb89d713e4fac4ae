/**
 * The comparison of exits on two devices (test/gpu, test/fixtures) finds what it looks for: here one device stands for
 * both.
 */
import { attachHeads } from "early-exits";
import { confidenceAt, scoreOf } from "early-exits/exits";
import { recordDocuments } from "early-exits/calibrate";
import { expect, it } from "vitest";
import { randomIds, reread, smallModel } from "../../support/models.js";
import { compareExits, SCORE } from "../../support/same-exits.js";

const model = await smallModel();
const heads = attachHeads(model, { exits: [1, 3] });
const prompts = [randomIds(5, 61, 1), randomIds(9, 61, 2)];
/** Scores of both heads at the last position of a prompt, where the first new token is chosen. */
const scoresAfter = async (prompt: readonly number[]) => {
  const { documents } = await recordDocuments(heads, [prompt]);
  return documents[0]!.exits.map(({ stats }) => scoreOf(confidenceAt(stats, prompt.length - 1), "entropy"));
};
/** The same heads with weights that differ a little, or a lot. */
const changed = async (by: number) => {
  const { again: copy } = await reread(heads);
  for (const { weights: own } of copy.heads) {
    for (const tensor of Object.values(own.tensors)) {
      model.device.write(
        tensor.storage,
        (await tensor.read()).map((value) => value * (1 + by)),
      );
    }
  }
  return copy;
};

it("equal devices never differ", async () => {
  const { unexplained, parted, decisions, close } = await compareExits(heads, await changed(0), prompts, {
    thresholds: [1.5, 1.5],
  });
  expect([unexplained, parted, close]).toEqual([[], 0, 0]);
  expect(decisions).toBeGreaterThanOrEqual(2 * 16);
});

it("a score at its threshold is counted, and may explain a difference", async () => {
  const [first] = await scoresAfter(prompts[0]!);
  const { unexplained, parted, close } = await compareExits(heads, await changed(1e-6), prompts, {
    thresholds: [first! - SCORE / 1000, 0],
    maxNewTokens: 1,
  });
  expect(close).toBe(1);
  expect(parted).toBeLessThanOrEqual(1);
  expect(unexplained).toEqual([]);
});

it("other scores explain nothing", async () => {
  const [first] = await scoresAfter(prompts[0]!);
  const { unexplained, parted } = await compareExits(heads, await changed(0.1), prompts, {
    thresholds: [first! - 100 * SCORE, 0],
    maxNewTokens: 1,
  });
  expect(parted).toBeGreaterThanOrEqual(1);
  expect(unexplained.map(({ prompt, token }) => [prompt, token])).toContainEqual([0, 0]);
});
