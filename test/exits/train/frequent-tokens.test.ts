/** Lists of frequent tokens. */
import { frequentTokens, recordStates } from "early-exits/exits";
import { topIdsOf } from "../../../src/exits/states/frequent-tokens.js";
import { expect, it } from "vitest";
import { randomIds, smallModel } from "../../support/models.js";

const model = await smallModel();

it("holds the tokens that the model predicts most often, and those that end a text", async () => {
  const documents = [40, 30].map((length, i) => ({ ids: randomIds(length, 61, i), from: 0 }));
  const counts = new Map<number, number>();
  for (const id of (await recordStates(model, documents, [])).argmax) counts.set(id, (counts.get(id) ?? 0) + 1);
  const list = await frequentTokens(model, documents, 5);
  const { eosTokenIds } = model.config;
  expect(list).toEqual(expect.arrayContaining([...eosTokenIds]));
  const least = Math.min(...list.filter((id) => !eosTokenIds.includes(id)).map((id) => counts.get(id) ?? 0));
  for (const [id, count] of counts) {
    if (!list.includes(id)) expect(count).toBeLessThanOrEqual(least);
  }
  expect(list).toEqual(list.toSorted((a, b) => a - b));
});

it("counts the text too, if asked, from the position from which a document counts", async () => {
  const document = { ids: [7, 7, 7, 40, 41, 41, 41], from: 2 };
  const ends = model.config.eosTokenIds; // in every list
  const text = await frequentTokens(model, [document], 2 + ends.length, { positions: 0, countText: true });
  expect(text).toEqual([40, 41, ...ends]);
  expect(topIdsOf(new Float32Array(2 ** 18), 2 ** 18, 200_000)).toHaveLength(200_000);
});
