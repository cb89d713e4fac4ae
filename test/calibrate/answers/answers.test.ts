/** Certificates of answers: what is compared, where decoding starts, what verification finds, and what is refused. */
import { calibrate } from "early-exits";
import { readHeads, readModel } from "early-exits/node";
import { describe, expect, it } from "vitest";
import { isRight, rougeL } from "../../../src/calibrate/record/answers/losses.js";
import { sharedWasm } from "../../support/devices.js";
import { expectCode } from "../../support/expect-code.js";
import { memoryStore } from "../../support/memory-store.js";
import { giveProjections } from "../../support/models.js";
import { resealed, verdictOf } from "../../support/verdict.js";

const who = ["Congress", "The President", "Our army", "The Treasury", "This people", "Every State", "Peace", "The law"];
const prompts = ["will", "has", "is not"].flatMap((what) =>
  who.map((one) => ({ prompt: `${one} ${what}`, expected: /[aeiou]n/ })),
);
const answers = { maxNewTokens: 8, stop: "xq", seed: -5 };
const asked = { epsilon: 0.9, delta: 0.3, answers, batchSize: 5 } as const;
const share = (full: { ids: readonly number[] }, policy: { ids: readonly number[] }): number =>
  full.ids.filter((id, t) => id !== policy.ids[t]).length / full.ids.length;

const model = await readModel("models/sotu-12", { device: await sharedWasm() });
const heads = await giveProjections(await readHeads("models/sotu-12/heads", model));

describe("certificates of answers", () => {
  it.for([
    ["lazy", 0, "changed"],
    ["lazy", 0.9, "changed"],
    ["project", 0, "rougeL"],
    ["project", 0.9, "accuracy"],
  ] as const)(
    "hold what generate answers from the start, though decoding starts late: %s, temperature %d",
    async (row) => {
      const [fill, temperature, loss] = row;
      const options = { ...asked, fill, sampling: { temperature }, loss };
      const { certificate } = await calibrate(heads, prompts, options);
      const { test, documents, accepted, settings } = certificate;
      expect(test?.chosen).not.toBe("never"); // otherwise the test shows little
      expect(await verdictOf(certificate, { heads, prompts })).toBe("reproduced");
      const forged = [
        { documents: documents.map((document) => ({ ...document, tokens: 9 })) },
        { accepted: { ...accepted, losses: accepted.losses.map(() => 0) } },
        { settings: { ...settings, answers: { ...settings.answers!, epsilon: 0.95 } } },
        { loss: loss === "accuracy" ? "changed" : "accuracy" },
      ];
      for (const change of forged) expect(await verdictOf(await resealed(certificate, change))).toBe("refuted");
    },
  );

  it("are refuted with other prompts or expectations, and run another's loss only if it is the same", async () => {
    const { certificate } = await calibrate(heads, prompts, { ...asked, loss: share });
    expect(await verdictOf(certificate, { heads, prompts, answerLoss: share })).toBe("reproduced");
    for (const change of [{ prompt: "another" }, { expected: /[aeiou]n?/ }]) {
      const others = prompts.with(1, { ...prompts[1]!, ...change });
      expect(await verdictOf(certificate, { heads, prompts: others, answerLoss: share })).toBe("refuted");
    }
    await expectCode(verdictOf(certificate, { heads, prompts }), "loss-missing");
    const other = (): number => expect.fail("another loss runs");
    expect(await verdictOf(certificate, { heads, prompts, answerLoss: other })).toBe("refuted");
  });
});

it("a missing answer of another share is named; with another seed or sampling all are missing", async () => {
  const store = memoryStore();
  const rows = [
    [{ share: (prompt: number) => prompt !== 7 }, 7],
    [{}, 7],
    [{ answers: { ...answers, seed: 1 } }, 0],
    [{ sampling: { temperature: 1 } }, 0],
  ] as const;
  for (const [change, document] of rows) {
    const run = calibrate(heads, prompts, { ...asked, loss: "changed", store, share: () => false, ...change });
    await expect(run).rejects.toMatchObject({ code: "answers-missing", details: { document } });
  }
});

type Refused = readonly [code: string, options: object, change?: object];
it.for<Refused>([
  ["expected-missing", { loss: "accuracy" }, { expected: undefined }],
  ["expected-malformed", { loss: "worse" }, { expected: "…" }],
  ["document-malformed", {}, { prompt: 7 }],
  ["message-content", {}, { prompt: [{ role: "user" }] }],
  ["context-overflow", {}, { prompt: "x ".repeat(400) }],
  ["loss-range", { loss: () => NaN }],
  ["loss-hash", { loss: () => 1, lossHash: "mine" }],
  ["loss-range", { loss: () => 1.2 }],
  ["loss-failed", { loss: () => Promise.reject(new Error("no")) }],
  ["loss-failed", { loss: () => expect.fail("no") }],
  ["answer-empty", { answers: { ...answers, stop: " " } }],
  ["loss-timeout", { loss: () => new Promise(() => undefined), lossTimeout: 5 }],
  ["option-unknown", { agreement: 0.9 }],
])("refuses with %s and names the prompt", async ([code, options, change]) => {
  const given = prompts.slice(0, 8).with(3, { ...prompts[3]!, ...change });
  await expectCode(
    calibrate(heads, given, { ...asked, loss: "changed", ...options }),
    code,
    /prompt \d|option|lossHash/,
  );
});

it("answers are right by words, alternatives, patterns or choices; ROUGE-L is rouge-score's", () => {
  const rows = [
    ["It is Paris.", "paris", true],
    ["It is Parisian.", "paris", false],
    ["four", ["4", "Four"], true],
    ["B. no", { choices: ["A", "B"], answer: "B" }, true],
    ["Both A and B", { choices: ["A", "B"], answer: "B" }, false],
    ["", "paris", false], // what a policy leaves empty is compared
    ["-1 (or 1)", { choices: ["1", "-1"], answer: "-1" }, true],
    ["so 42", /^\d+$/m, false],
  ] as const;
  for (const [answer, expected, right] of rows) expect(isRight(answer, expected), answer).toBe(right);
  expect(rougeL("The quick brown fox jumps over the lazy dog", "the quick brown dog jumps on the log.")).toBeCloseTo(
    10 / 17,
  );
  expect([rougeL("", ""), rougeL("γ", "γ"), rougeL("a", "")]).toEqual([0, 0, 0]);
});
