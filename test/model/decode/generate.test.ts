/** Generation: streaming, stopping, limits, cancelling, telemetry. */
import { fc, test } from "../../support/property.js";
import { generate, type GenerateOptions, OptionError } from "early-exits";
import { describe, expect, it } from "vitest";
import { StopMatcher } from "../../../src/model/decode/writer.js";
import { generated } from "../../support/generated.js";
import { byteConfig, smallByteModel, smallModel } from "../../support/models.js";

const model = await smallByteModel();

/** Text of the byte-level model after a prompt. */
async function write(prompt: string | number[], options: GenerateOptions = {}) {
  const { tokens, summary } = await generated(model, prompt, options);
  return { pieces: tokens.map(({ text }) => text), ...summary };
}

describe("generate", () => {
  it("streams pieces that together are the text, which decodes the ids", async () => {
    const { pieces, text, ids, newTokens, finishReason, depthCounts, meanDepth } = await write("hello", {
      maxNewTokens: 30,
      temperature: 1,
      seed: 3,
    });
    expect(pieces.join("")).toBe(text);
    expect(text).toBe(model.tokenizer.decode(ids));
    expect([newTokens, finishReason, meanDepth]).toEqual([30, "length", 4]);
    expect(depthCounts).toEqual([0, 0, 0, 0, 30]);
  });

  it("ends before a stop string that arrives in pieces, and after an end-of-text token", async () => {
    const options = { maxNewTokens: 30, temperature: 1, seed: 5 };
    const { text, ids } = await write("q", options);
    const stop = text.slice(9, 12);
    const stopped = await write("q", { ...options, stop: ["never this", stop] });
    expect(stopped.text).toBe(text.slice(0, text.indexOf(stop)));
    expect(stopped.finishReason).toBe("stop");

    const other = await smallByteModel({ config: { ...byteConfig, eos_token_id: ids[4]! } });
    const ending = (await generated(other, "q", { ...options, stopAtEndOfText: true })).summary;
    expect(ending.finishReason).toBe("endOfText");
    expect(ending.ids).toEqual(ids.slice(0, ids.indexOf(ids[4]!) + 1));
  });

  it("fills the context to the last position and refuses one token more", async () => {
    const room = model.config.maxPositionEmbeddings - 3;
    expect((await write([1, 2, 3], { maxNewTokens: room + 1 })).newTokens).toBe(room + 1);
    expect(() => generate(model, [1, 2, 3], { maxNewTokens: room + 2 })).toThrow(/ask for at most 94 new tokens/);
    expect(() => generate(model, new Array<number>(97).fill(1))).toThrow(/exceeds the context limit/);
    const full = generate(model, new Array<number>(96).fill(1), { stopAtEndOfText: false });
    await full.text();
    expect(full.summary.newTokens).toBe(1);
  });

  it("refuses empty prompts, and ids outside the vocabulary, when it is called", async () => {
    expect(() => generate(model, [])).toThrow(/the prompt has no tokens/);
    expect(() => generate(model, [300])).toThrow(/token id 300/);
    expect(() => generate(model, undefined as never)).toThrow(/the prompt has no tokens/);
    for (const wrong of [{ stop: 5 }, { stop: [null] }, { seed: "5" }]) {
      expect(() => generate(model, [1], wrong as never)).toThrow(OptionError);
    }
    expect((await write("", { maxNewTokens: 2 })).promptTokens).toBe(1); // an empty text begins a document
    const bare = await smallModel();
    expect(() => generate(bare, "text")).toThrow(/without a tokenizer/);
  });

  it("ends the iteration with the reason of an aborted signal", async () => {
    const controller = new AbortController();
    const seen: number[] = [];
    const run = generate(model, "abc", { maxNewTokens: 50, signal: controller.signal, stopAtEndOfText: false });
    await expect(
      (async () => {
        for await (const token of run) {
          if (seen.push(token.id) === 3) controller.abort(new Error("enough"));
        }
      })(),
    ).rejects.toThrow("enough");
    expect(seen).toHaveLength(3);
    expect(() => run.summary).toThrow(/once the iteration has ended/);
  });

  it("measures with the clock it is given", async () => {
    let time = 0;
    const { timeToFirstToken, tokensPerSecond } = await write("a", { maxNewTokens: 5, now: () => (time += 100) });
    expect(timeToFirstToken).toBe(100);
    expect(tokensPerSecond).toBe(4 / 0.4); // the clock is read once per token
  });
});

describe("StopMatcher", () => {
  test.prop([
    fc.array(fc.stringMatching(/^[ab]{0,4}$/), { maxLength: 12 }),
    fc.array(fc.stringMatching(/^[ab]{1,3}$/), { minLength: 1, maxLength: 3 }),
  ])("releases exactly the text before the first stop string, however the text is cut", (pieces, stops) => {
    const matcher = new StopMatcher(stops);
    const results: ReturnType<StopMatcher["push"]>[] = [];
    for (const [i, piece] of pieces.entries()) {
      if (!results.at(-1)?.matched) results.push(matcher.push(piece, { last: i === pieces.length - 1 }));
    }
    const text = results.map((result) => result.text).join("");
    const matched = results.at(-1)?.matched ?? false;
    // The stop string that is complete first ends the text; of several at once, the one that begins first.
    const whole = pieces.join("");
    if (!matched) expect(text).toBe(whole);
    else expect(stops.some((stop) => whole.startsWith(text + stop))).toBe(true);
    expect(stops.some((stop) => text.includes(stop))).toBe(false);
    expect(matched).toBe(stops.some((stop) => whole.includes(stop)));
  });

  it("refuses an empty stop string", () => expect(() => new StopMatcher([""])).toThrow(/empty/));
});
