/** `generate`, with exits and losslessly, on one tiny model. */
import { createReadStream, readFileSync } from "node:fs";
import type { Certificate } from "early-exits";
import { expect, it } from "vitest";
import { forge, forgeries } from "../../support/forgeries.js";
import { cli, parseJson, pipeline, refused, sentences, startProcess, succeed, words, writeText } from "../support.js";

const { folder, heads, held, model, policy } = await pipeline();

const line = words`generate ${model} --prompt ${"the house"} --max-new-tokens 12 --device reference`;
const exits = words`${line} --heads ${heads} --policy ${policy}`;

it("writes only the prompt and its continuation to stdout", async () => {
  const { out, err } = await succeed(line);
  expect(out).toMatch(/^the house.*\n$/s);
  expect(err).toMatch(/tokens\/s, first token after \d+ ms\nmean depth 3\.00 of 3 blocks\nmemory: /);
  const positions = Number(/after a prompt of (\d+)/.exec(err)![1]) + 12; // 3 blocks, 2 · 8 floats for each
  expect(err).toContain(
    `memory: weights 46 kB (float32), KV cache ${((positions * 192) / 1000).toFixed(2)} kB (float32)\n`,
  );
  const bare = await cli(words`${line} --no-echo`);
  expect(`the house${bare.out}`).toBe(out);
});

it("screens the unembedding if asked, says what that read, and writes the same text", async () => {
  const on = words`generate ${model} --prompt ${"the house"} --max-new-tokens 12 --device wasm --unembedding`;
  const screened = await succeed(words`${on} screened`);
  expect(screened.err).toMatch(/unembedding screened: [\d.]+ of \d+ logits computed exactly per full-depth token/);
  const full = await succeed(words`${on} full`);
  expect(full.err).not.toContain("screened");
  expect(screened.out).toBe(full.out);
  const integers = words`${on} screened --dtype int8`;
  expect(await refused(integers)).toContain("integer weights are as small as the coarse copy");
});

it("writes plain text without colours, and the same text coloured by depth with them", async () => {
  const plain = await cli(exits);
  const painted = await cli(exits, { color: true });
  expect(plain.out).not.toContain("\x1b");
  expect(painted.out).toContain("\x1b[32m");
  expect(painted.out.replace(/\x1b\[\d+m/g, "")).toBe(plain.out);
  expect(painted.err).toContain("legend: ");
  expect(plain.err).toMatch(/depth {2}[12] {2}#/);
});

it("refuses an endless stdin, and a text that cannot fit, before it is encoded", async () => {
  const { child, ended } = startProcess(words`generate ${model} --device reference`);
  child.stdin.on("error", () => undefined); // it closes the pipe
  createReadStream("/dev/zero").pipe(child.stdin);
  expect(await ended).toMatchObject({ code: 2, err: expect.stringContaining("stdin: holds more than") as string });
  const long = await cli(words`generate ${model} --device reference`, { input: "a".repeat(4e6) });
  expect([long.code, long.err]).toEqual([1, expect.stringContaining("4000000 characters do not fit the context")]);
});

it("writes a line for each prompt of a file, and samples prompt i with seed + i; an error leaves them", async () => {
  const texts = sentences(19, 900).map((prompt) => prompt.slice(0, 20));
  const prompts = writeText(folder.path("prompts.txt"), texts);
  const sampled = words`generate ${model} --temperature 1 --max-new-tokens 9 --device reference`;
  const { out } = await succeed(words`${sampled} --seed 11 --prompts ${prompts}`);
  const lines = out.trimEnd().split("\n");
  expect(lines).toHaveLength(19);
  const { prompt, text: written } = parseJson(lines[17]!);
  const alone = await succeed([...words`${sampled} --seed 28 --json`, "--prompt", prompt as string]);
  expect(parseJson(alone.out)).toMatchObject({ text: written });
  const file = folder.path("texts.jsonl");
  writeText(prompts, [...texts, "a ".repeat(99)]);
  const failed = await cli(words`${sampled} --seed 11 --prompts ${prompts} --out ${file} --json`);
  expect(failed).toMatchObject({ code: 1, out: expect.stringContaining('"texts":16') as string });
  expect(out.startsWith(readFileSync(file, "utf8"))).toBe(true);
});

it("prints one JSON object with tokens, depths and summary", async () => {
  const { out } = await cli(words`${exits} --temperature .8 --top-k 20 --seed 5 --json`);
  const result = parseJson(out) as {
    text: string;
    tokens: { text: string; depth: number; exit: number | null }[];
    summary: { newTokens: number; depthCounts: number[] };
  };
  expect(result.tokens.map(({ text: piece }) => piece).join("")).toBe(result.text);
  expect(result.tokens.every(({ depth, exit }) => depth === (exit === null ? 3 : exit + 1))).toBe(true);
  expect(result.summary.newTokens).toBe(result.tokens.length);
  expect(out).toBe(
    (await cli(words`${exits} --temperature .8 --top-k 20 --seed 5 --json`)).out.replace(
      /"timeToFirstToken":[\d.]+,"tokensPerSecond":[\d.]+/,
      /"timeToFirstToken":[\d.]+,"tokensPerSecond":[\d.]+/.exec(out)![0],
    ),
  );
});

it("says which promise holds, and audits", async () => {
  expect((await cli(exits)).err).toContain("promise: none, the policy has no certificate");
  const certified = folder.path("certified.json");
  await succeed(
    words`
        calibrate ${model} --heads ${heads} --text ${held} --agreement .3 --delta .1 --temperature .8
        --out ${certified} --device reference`,
  );
  const warm = words`${line} --heads ${heads} --policy ${certified}`;
  const prompts = writeText(folder.path("audited.txt"), ["the house", "a dog", "the tree"]);
  const many = words`generate ${model} --prompts ${prompts} --heads ${heads} --policy ${certified}`;
  const audited = await succeed(words`${many} --device reference --temperature .8 --max-new-tokens 8 --audit 1`);
  expect(audited.err).toMatch(/audit: 3 texts judged by the reference, mean loss .* no alarm/);
  const honest = JSON.parse(readFileSync(certified, "utf8")) as Certificate;
  for (const [name, change] of forgeries) {
    const { policy, ...rest } = forge(honest, change);
    const bare = writeText(folder.path("bare.json"), [JSON.stringify(policy)]);
    const { err } = await cli(words`${line} --heads ${heads} --policy ${bare} --temperature .8`);
    expect(err, name).toMatch(
      /promise: none, the policy has no certificate|bare\.json: policy: it was calibrated for (another|other)/,
    );
    const forged = writeText(folder.path("forged.json"), [JSON.stringify({ ...rest, policy })]);
    const sentence = await refused(words`${line} --heads ${heads} --policy ${forged} --temperature .8`);
    expect(sentence, name).toMatch(/forged\.json: certificate: .* use an unchanged copy/);
  }
  const insisted = await cli(words`${warm} --allow-uncertified`);
  expect(insisted.err).toContain("promise: none, the certificate is for other sampling settings");
  for (const wrong of [words`${line} --audit 1`, words`${many} --allow-uncertified --audit 1`]) {
    await refused(wrong, 2);
  }
});

it("runs the plain model if heads come without a policy, and says so", async () => {
  const { out, err } = await cli(words`${line} --heads ${heads}`);
  expect(err).toContain("exits are off");
  expect(out).toBe((await cli(line)).out);
});

it("losslessly writes the plain model's text, with a policy or without heads", async () => {
  const plain = await cli(line);
  const lossless = await cli(words`${line} --heads ${heads} --policy ${policy} --lossless`);
  expect(lossless.out).toBe(plain.out);
  expect(lossless.err).toMatch(
    /lossless: \d\.\d\d tokens per round, .* drafts accepted; the text is the full model's\n[^]*next:\n.* --lossless\n/,
  );
  expect((await cli(words`${line} --lossless`)).out).toBe(plain.out);
});
