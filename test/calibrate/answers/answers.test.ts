/** Certificates of answers: what is compared, where decoding starts, what verification finds, and what is refused. */
import { calibrate, type ExitHeads } from "early-exits";
import { readHeads, readModel } from "early-exits/node";
import { beforeAll, describe, expect, it } from "vitest";
import { isRight, rougeL } from "../../../src/calibrate/record/answers/losses.js";
import { sharedWasm } from "../../support/devices.js";
import { expectCode } from "../../support/expect-code.js";
import { giveProjections } from "../../support/models.js";
import { resealed, verdictOf } from "../../support/verdict.js";

let heads: ExitHeads;
const who = ["Congress", "The President", "Our army", "The Treasury", "This people", "Every State", "Peace", "The law"];
const prompts = ["will", "has", "is not"].flatMap((what) =>
  who.map((one) => ({ prompt: `${one} ${what}`, expected: /[aeiou]n/ })),
);
const answers = { maxNewTokens: 8, stop: "xq" };
const asked = { epsilon: 0.9, delta: 0.3, answers, batchSize: 5 } as const;
const share = (full: { ids: readonly number[] }, policy: { ids: readonly number[] }): number =>
  full.ids.filter((id, t) => id !== policy.ids[t]).length / full.ids.length;

beforeAll(async () => {
  const model = await readModel("models/sotu-12", { device: await sharedWasm() });
  heads = await readHeads("models/sotu-12/heads", model);
  await giveProjections(heads);
});

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

interface Refused {
  readonly code: string;
  readonly options: object;
  readonly change?: object;
}
const refused: readonly Refused[] = [
  { code: "expected-missing", options: { loss: "accuracy" }, change: { expected: undefined } },
  { code: "expected-malformed", options: { loss: "worse" }, change: { expected: "…" } },
  { code: "document-malformed", options: { loss: "changed" }, change: { prompt: 7 } },
  { code: "message-content", options: { loss: "changed" }, change: { prompt: [{ role: "user" }] } },
  { code: "context-overflow", options: { loss: "changed" }, change: { prompt: "x ".repeat(400) } },
  { code: "loss-range", options: { loss: () => NaN } },
  { code: "loss-range", options: { loss: () => 1.2 } },
  { code: "loss-failed", options: { loss: () => Promise.reject(new Error("no")) } },
  { code: "loss-failed", options: { loss: () => expect.fail("no") } },
  { code: "answer-empty", options: { answers: { ...answers, stop: " " } } },
  { code: "loss-timeout", options: { loss: () => new Promise(() => undefined), lossTimeout: 5 } },
  { code: "option-unknown", options: { loss: "changed", agreement: 0.9 } },
];
it.for(refused)("refuses with $code and names the prompt", async ({ code, options, change }) => {
  const given = prompts.slice(0, 8).with(3, { ...prompts[3]!, ...change });
  await expectCode(calibrate(heads, given, { ...asked, loss: "changed", ...options }), code, /prompt \d|option/);
});

it("answers are right by words, alternatives, patterns or choices; ROUGE-L is rouge-score's", () => {
  const rows = [
    ["It is Paris.", "paris", true],
    ["It is Parisian.", "paris", false],
    ["four", ["4", "Four"], true],
    ["B. no", { choices: ["A", "B"], answer: "B" }, true],
    ["Both A and B", { choices: ["A", "B"], answer: "B" }, false],
    ["so 42", /^\d+$/m, false],
  ] as const;
  for (const [answer, expected, right] of rows) expect(isRight(answer, expected), answer).toBe(right);
  expect(rougeL("The quick brown fox jumps over the lazy dog", "the quick brown dog jumps on the log.")).toBeCloseTo(
    10 / 17,
  );
  expect([rougeL("", ""), rougeL("γ", "γ")]).toEqual([0, 0]);
});
