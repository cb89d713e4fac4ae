/** Certificates of answers: what is compared, where decoding starts, what verification finds, and what is refused. */
import { calibrate, type Certified, type ExitHeads, type OptionError } from "early-exits";
import { readHeads, readModel } from "early-exits/node";
import { beforeAll, describe, expect, it } from "vitest";
import { answerJudge, isRight, rougeL } from "../../../src/calibrate/record/answers/losses.js";
import { sharedWasm } from "../../support/devices.js";
import { expectCode } from "../../support/expect-code.js";
import { memoryStore } from "../../support/memory-store.js";
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

it("certificates of prompts that processes share are one's own; the next missing answer is named", async () => {
  const store = memoryStore();
  const options = { ...asked, fill: "project", loss: "changed" } as const;
  const shard = (index: number, more = {}) =>
    calibrate(heads, prompts, { ...options, ...more, store, share: (prompt) => prompt % 3 === index }).catch(
      (error: unknown) => error as OptionError,
    );
  expect(await shard(0)).toMatchObject({ code: "answers-missing", details: { document: 1 } });
  let merged;
  for (let turn = 1; !merged?.certificate; turn++) merged = (await shard(turn % 3)) as Partial<Certified>;
  const { size } = store.files;
  const { certificate } = await calibrate(heads, prompts, { ...options, store });
  expect(store.files.size).toBe(size); // nothing was left to do
  expect(certificate).toEqual((await calibrate(heads, prompts, options)).certificate);
  expect(merged.certificate).toEqual(certificate);
  for (const foreign of [{ answers: { ...answers, seed: 1 } }, { sampling: { temperature: 1 } }]) {
    expect(await shard(2, foreign)).toMatchObject({ code: "answers-missing", details: { document: 0 } });
  }
  const name = [...store.files.keys()].find((one) => one.startsWith("answer"))!;
  await store.write(name, store.files.get(name)!.map((byte) => byte ^ 1));
  expect(await shard(2)).toMatchObject({ code: "store-damaged", details: { name } });
});

it("an empty answer of a policy is compared like any other", async () => {
  const answer = (text: string) => ({ text, ids: [text.length], finishReason: "stop" }) as const;
  for (const loss of ["changed", "rougeL", "accuracy", "worse"] as const) {
    const { lossOf } = await answerJudge({ loss });
    expect(await lossOf(answer("Paris"), answer(""), { prompt: "", expected: "Paris" }, 0)).toBe(1);
  }
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
    ["-1 (or 1)", { choices: ["1", "-1"], answer: "-1" }, true],
    ["so 42", /^\d+$/m, false],
  ] as const;
  for (const [answer, expected, right] of rows) expect(isRight(answer, expected), answer).toBe(right);
  expect(rougeL("The quick brown fox jumps over the lazy dog", "the quick brown dog jumps on the log.")).toBeCloseTo(
    10 / 17,
  );
  expect([rougeL("", ""), rougeL("γ", "γ")]).toEqual([0, 0]);
});
