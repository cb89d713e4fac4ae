/** `demo` on tiny models. */
import { writeFileSync } from "node:fs";
import { expect, it } from "vitest";
import { pretrainTiny, scratch, sentences, succeed, words, writeText } from "../support.js";

const folder = scratch();
const model = folder.path("model");
/** Writes the documents of a model's folder. */
function writeDocuments(folder: string, calibration: number) {
  const titled = (...range: Parameters<typeof sentences>) =>
    sentences(...range).map((text, i) => ({ title: `speech ${i}`, text }));
  const documents = { train: titled(30), calibration: titled(calibration, 100), test: titled(10, 200) };
  writeFileSync(`${folder}/documents.json`, JSON.stringify(documents));
}
const line = words`
  demo --model ${model} --seconds .3 --exits 1,2 --agreement .6 --max-new-tokens 6 --runs 5
  --device reference`;

const text = writeText(folder.path("text.txt"), sentences(60));
await pretrainTiny(text, { out: model, steps: 20 });
writeDocuments(model, 10);

// The demo plans by its clock, which therefore advances as fast as a real one: a step takes about 20 ms.
const clock = { tick: 20 };

it("has five parts, certifies nothing on eight documents, and reports what is slower", async () => {
  const { out } = await succeed(line, clock);
  for (const part of [
    "1. The model",
    "2. Heads after blocks 1 and 2",
    "3. Thresholds that keep 60 % agreement with probability 95 %",
    "4. Generating with exits, and losslessly",
  ]) {
    expect(out).toContain(part);
  }
  expect(out).toMatch(/5\. Speed: medians of \d+ interleaved greedy runs of 12 tokens for each way/);
  expect(out).toContain("carries no guarantee");
  expect(out).toContain("The greedy text equals the plain model's, token for token");
  expect(out).toMatch(
    /Exits: (faster|slower|neither faster nor slower .*), \d+\.\d\d times the speed of plain decoding/,
  );
  expect(out).not.toContain("\x1b");
});

it("prints one JSON object", async () => {
  const result = JSON.parse((await succeed(words`${line} --json`, clock)).out) as {
    runs: number;
    ways: { name: string; tokensPerSecond: number; agreement: number; blocks: number; identical: boolean }[];
  };
  // The time is up after eight documents, the fewest that are recorded.
  expect(result).toMatchObject({
    format: "early-exits/demo",
    device: "reference",
    depths: [1, 2],
    policy: { format: "early-exits/policy" },
    certificate: null,
    test: { documents: 8 },
  });
  expect(result.runs).toBeGreaterThanOrEqual(5);
  expect(result.ways.map(({ name }) => name)).toEqual(["plain", "exits", "lossless"]);
  const [plain, exits, lossless] = result.ways;
  expect(plain).toMatchObject({ blocks: 3, identical: true });
  expect(plain!.agreement).toBeCloseTo(1, 9);
  expect(exits!.tokensPerSecond).toBeGreaterThan(0);
  expect(lossless!.identical).toBe(true);
});

it("goes on with the heads of the folder, and certifies if there are enough documents", async () => {
  const shared = folder.path("shared");
  await pretrainTiny(text, { out: shared, kvShared: 1, steps: 20 });
  await succeed(words`train ${shared} --text ${text} --out ${`${shared}/heads`} --depths 1,2 --steps 20`);
  writeDocuments(shared, 80);
  const { out } = await succeed(
    words`demo --model ${shared} --seconds 2 --agreement .4 --max-new-tokens 6 --runs 5 --device wasm`,
    clock,
  );
  expect(out).toContain("2. Heads after blocks 1 and 2, trained");
  expect(out).toContain("the demo uses the heads that come with the model");
  expect(out).toContain(
    "certified: at least 40 % of a document's tokens are the full model's, in texts of at most 64 tokens, " +
      "averaged over documents, with probability 95 %",
  );
  expect(out).toContain("Recomputed by an independent verifier: it holds");
}, 60_000);
