/** Lists of frequent tokens. */
import { createTeacher } from "../../../src/exits/train/create-teacher.js";
import { frequentTokens } from "early-exits/exits";
import { describe, expect, it } from "vitest";
import { randomIds, smallModel } from "../../support/models.js";

describe("the list", () => {
  it("holds the tokens that the model predicts most often, and those that end a text", async () => {
    const model = await smallModel();
    const documents = [randomIds(40, 61, 5), randomIds(30, 61, 6)];
    const counts = new Map<number, number>();
    for (const document of documents) {
      for (const id of (await createTeacher(model, model.forward(document).get(4)!)).argmax) {
        counts.set(id, (counts.get(id) ?? 0) + 1);
      }
    }
    const list = await frequentTokens(model, documents, 5);
    const { eosTokenIds } = model.config;
    expect(list).toEqual(expect.arrayContaining([...eosTokenIds]));
    const least = Math.min(...list.filter((id) => !eosTokenIds.includes(id)).map((id) => counts.get(id) ?? 0));
    for (const [id, count] of counts) {
      if (!list.includes(id)) expect(count).toBeLessThanOrEqual(least);
    }
    expect(list).toEqual(list.toSorted((a, b) => a - b));
  });
});
