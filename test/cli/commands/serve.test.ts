/** `early-exits serve`, from its address on stdout to Ctrl-C. */
import OpenAI from "openai";
import { expect, it } from "vitest";
import { cli, refused, words } from "../support.js";

const model = "models/sotu-12";

it("serves the embedded model with its exits for sampled text until it is interrupted", async () => {
  let asked: Promise<unknown> | undefined;
  const ask = async (url: string) => {
    const client = new OpenAI({ baseURL: url, apiKey: "none", maxRetries: 0 });
    const request = { model: "sotu-12", prompt: "The state of the union", max_tokens: 6, seed: 1 };
    return [
      await client.completions.create(request), // sampled as the certificate says
      await client.completions.create({ ...request, temperature: 1 }), // for which there is none
    ].map(({ choices }) => choices[0]);
  };
  const { code, out, err } = await cli(
    words`serve ${model} --shipped .95 --temperature .8 --top-p .95 --port 0 --otherwise lossless`,
    {
      onOut: (text, io) => {
        const url = /at (\S+)/.exec(text)?.[1];
        if (url !== undefined) asked = ask(url).finally(io.interrupt);
      },
    },
  );
  const [usual, other] = (await asked) as unknown[];
  expect(usual).toMatchObject({
    early_exits: { mode: "exits", promise: { kind: "certified", loss: "totalVariation", agreement: 0.95 } },
  });
  expect(other).toMatchObject({ early_exits: { mode: "lossless", promise: { kind: "lossless" } } });
  expect(code).toBe(0);
  expect(out).toMatch(/^sotu-12 at http:\/\/127\.0\.0\.1:\d+\/v1\n$/);
  expect(err).toMatch(/POST \/v1\/completions 200/);
  expect(err).not.toContain("union");
});

it.each([
  [words`--lossless --audit 2`, "leave one out"],
  [words`--temperature .8`, "certificate of --shipped"],
])("refuses %j", async (line, says) => expect(await refused(words`serve ${model} ${line}`, 2)).toContain(says));
