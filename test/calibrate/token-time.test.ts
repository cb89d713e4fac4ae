/** The price of a certified policy on another machine: as if every token of the test were paid for by itself. */
import { type Certificate, type FillName } from "early-exits";
import { calibrateRecords, fastestCertificate, recordDocuments } from "early-exits/calibrate";
import { tokenTime } from "../../src/calibrate/token-time.js";
import { expect, it } from "vitest";
import { exitFires, scoreAt } from "../../src/exits/heads/score.js";
import { randomDocuments, smallHeads } from "../support/models.js";

/** A block takes 1 ms; every further row of it `further`. */
function times(further: number, fill = 0) {
  return {
    block: [1, 2, 3, 4].map((rows) => ({ rows, cost: 1 + (rows - 1) * further })),
    heads: [0.5, 0.25],
    finalHead: [{ rows: 1, cost: 3 }],
    fills: [
      { blocks: 3, cost: fill },
      { blocks: 1, cost: fill },
    ],
  };
}

const records = await recordDocuments(await smallHeads(), randomDocuments(60, 12));
const { certificate } = await calibrateRecords(records, { agreement: 0.3, delta: 0.3, score: "margin" });
const { policy, split } = certificate;
const byHash = new Map(records.documents.map((document) => [document.hash, document]));
const tested = certificate.documents.slice(split.grid).map(({ hash }) => byHash.get(hash)!);

function expected(further: number) {
  let sum = 0;
  let tokens = 0;
  for (const { positions, exits } of tested) {
    for (let t = 0; t < positions; t++, tokens++) {
      const left = policy.exits.findIndex(({ threshold }, exit) => {
        if (threshold !== "never") sum += times(further).heads[exit]!;
        return exitFires(scoreAt(exits[exit]!, t, policy.score), threshold, policy.score);
      });
      const depth = policy.exits[left]?.depth;
      sum += depth === undefined ? 4 + 3 : depth + (4 - depth) * further;
    }
  }
  return sum / tokens;
}

it("is the mean over the tokens of the test, those that run later at the price of a further row", () => {
  expect(policy.fill).toBe("lazy");
  expect(certificate.measured.coverage).toBeGreaterThan(0);
  for (const further of [0, 0.1, 0.6, 1]) {
    expect(tokenTime(certificate, times(further))).toBeCloseTo(expected(further));
  }
});

it("chooses the fill: running blocks later pays where a further row is cheap", async () => {
  const projected: Certificate = { ...certificate, policy: { ...policy, fill: "project" } };
  const measured: FillName[] = [];
  const choose = (further: number) =>
    fastestCertificate([certificate, projected, certificate], (fill) => {
      measured.push(fill);
      return Promise.resolve(times(further, 0.3));
    });
  expect((await choose(0.01)).policy.fill).toBe("lazy");
  expect((await choose(0.9)).policy.fill).toBe("project");
  expect(measured).toEqual(["lazy", "project", "lazy", "project"]);
});

it("measures nothing if there is nothing to choose", async () => {
  const measure = () => Promise.reject(new Error("measured"));
  await expect(fastestCertificate([certificate], measure)).resolves.toBe(certificate);
});
