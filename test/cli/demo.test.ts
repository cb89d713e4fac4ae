/** `demo` on a tiny model, and the documents that the real one needs. */
import { writeFileSync } from "node:fs";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { sampleSegments, segmentsOf } from "../../lab/ship/segments.js";
import { cli, scratch, sentences, tinyModel, writeText } from "./support.js";

const folder = scratch();
const model = folder.path("model");
const titled = (texts: readonly string[]) => texts.map((text, i) => ({ title: `speech ${i}`, text }));
const line = [
  "demo",
  "--model",
  model,
  "--seconds",
  ".3",
  "--exits",
  "1,2",
  "--agreement",
  ".6",
  "--max-new-tokens",
  "6",
  "--runs",
  "5",
  "--device",
  "reference",
];

beforeAll(async () => {
  const text = writeText(folder.path("text.txt"), sentences(60));
  expect(
    (await cli(["pretrain", "--text", text, "--out", model, ...tinyModel, "--steps", "20", "--lr", "0.02"])).code,
  ).toBe(0);
  writeFileSync(
    folder.path("model", "documents.json"),
    JSON.stringify({
      train: titled(sentences(30)),
      calibration: titled(sentences(10, 100)),
      test: titled(sentences(10, 200)),
    }),
  );
});
afterAll(folder.remove);

// The demo plans by its clock, so it gets the real one's pace: 20 ms a look is about what a step takes.
const clock = { tick: 20 };

describe("early-exits demo", () => {
  it("tells the story in five parts, certifies nothing on eight documents, and admits what is slower", async () => {
    const { code, out } = await cli(line, clock);
    expect(code).toBe(0);
    for (const part of [
      "1. The model",
      "2. Heads after blocks 1 and 2",
      "3. Thresholds that keep 60 % agreement with probability 95 %",
      "4. Writing with exits, and losslessly",
    ]) {
      expect(out).toContain(part);
    }
    expect(out).toMatch(/5\. Speed: \d+ interleaved greedy runs of 12 tokens each way/);
    expect(out).toContain("carries no guarantee");
    expect(out).toContain("The greedy text is the plain model's, token for token");
    expect(out).toMatch(
      /With exits, lazy, decoding is (faster|slower|neither faster nor slower as far as these runs tell), \d+\.\d\d times the plain model's speed/,
    );
    expect(out).not.toContain("\x1b");
  });

  it("gives the same as one JSON object", async () => {
    const result = JSON.parse((await cli([...line, "--json"], clock)).out) as {
      runs: number;
      ways: { name: string; tokensPerSecond: number; agreement: number; blocks: number; identical: boolean }[];
    };
    // The clock runs out after the eight documents that there are at least.
    expect(result).toMatchObject({
      format: "early-exits/demo",
      device: "reference",
      depths: [1, 2],
      policy: { format: "early-exits/policy" },
      certificate: null,
      test: { documents: 8 },
    });
    expect(result.runs).toBeGreaterThanOrEqual(5);
    expect(result.ways.map(({ name }) => name)).toEqual(["plain", "exits, lazy", "exits, propagate", "lossless"]);
    const [plain, lazy, , lossless] = result.ways;
    expect(plain).toMatchObject({ blocks: 3, identical: true });
    expect(plain!.agreement).toBeCloseTo(1, 9);
    expect(lazy!.tokensPerSecond).toBeGreaterThan(0);
    expect(lossless!.identical).toBe(true);
  });

  it("goes on with the heads of the folder, and certifies where there are documents enough", async () => {
    const shared = folder.path("shared");
    const text = folder.path("text.txt");
    expect(
      (
        await cli([
          "pretrain",
          "--text",
          text,
          "--out",
          shared,
          ...tinyModel,
          "--kv-shared",
          "1",
          "--steps",
          "20",
          "--lr",
          "0.02",
        ])
      ).code,
    ).toBe(0);
    expect(
      (
        await cli([
          "train",
          shared,
          "--text",
          text,
          "--out",
          folder.path("shared", "heads"),
          "--exits",
          "1,2",
          "--steps",
          "20",
        ])
      ).code,
    ).toBe(0);
    writeFileSync(
      folder.path("shared", "documents.json"),
      JSON.stringify({
        train: titled(sentences(30)),
        calibration: titled(sentences(80, 100)),
        test: titled(sentences(10, 200)),
      }),
    );
    const { code, out } = await cli(
      [
        "demo",
        "--model",
        shared,
        "--seconds",
        "2",
        "--agreement",
        ".4",
        "--max-new-tokens",
        "6",
        "--runs",
        "5",
        "--device",
        "wasm",
      ],
      clock,
    );
    expect(code).toBe(0);
    expect(out).toContain("2. Heads after blocks 1 and 2, trained");
    expect(out).toContain("trained the same way for longer, are used from here on");
    expect(out).toContain(
      "certified: an agreement of 40.0 % of each document's tokens, on average, with probability 95.0 %",
    );
    expect(out).toContain("Checked by code that shares nothing with what made it: valid");
  }, 60_000);
});

describe("segments of the corpus", () => {
  const sentence = "This is one sentence of a speech, a little over sixty letters. ";

  it("end at sentence ends, hold all of the text, and are long enough", () => {
    const text = sentence.repeat(47).trim();
    const segments = segmentsOf({ title: "1900 X", text }).map((segment) => segment.text);
    expect(segments.join(" ")).toBe(text);
    expect(segments.every((segment) => segment.endsWith(".") && segment.length >= 300 && segment.length < 1000)).toBe(
      true,
    );
    expect(segmentsOf({ title: "short", text: "Thank you." })).toEqual([{ title: "short", text: "Thank you." }]);
  });

  it("are drawn from all speeches in turn, the same for the same seed", () => {
    const speeches = Array.from({ length: 5 }, (_, i) => ({ title: String(i), text: sentence.repeat(60) }));
    const drawn = sampleSegments(speeches, 12, 3);
    expect(drawn.length).toBe(12);
    expect(new Set(drawn.slice(0, 5).map(({ title }) => title)).size).toBe(5);
    expect(sampleSegments(speeches, 12, 3)).toEqual(drawn);
  });
});
