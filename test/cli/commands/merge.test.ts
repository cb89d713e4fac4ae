/** Work in shards: every command's parts, merged, are byte for byte what one process writes. */
import { readFileSync } from "node:fs";
import { afterAll, describe, expect, it } from "vitest";
import { parseJson, pipeline, sentences, succeed, words, writeText } from "../support.js";

const { folder, heads, model, policy } = await pipeline();
afterAll(folder.remove);
const many = writeText(folder.path("many.txt"), [...sentences(40, 300), ...sentences(3, 300)]);

/** Runs a command for every shard, in an order that no engine would choose. */
async function shards(line: readonly string[], parts: string, of: number): Promise<void> {
  for (let i = 0; i < of; i++) {
    const index = (of - 1 - i) % of;
    await succeed(words`${line} --shard ${`${index}/${of}`} --parts ${parts}`);
  }
}

describe("calibrate in shards", () => {
  const line = words`calibrate ${model} --heads ${heads} --text ${many} --agreement .3 --delta .1 --device reference`;

  it.each([
    ["certified, with copies of documents", words`--score margin`],
    ["by exit, for tokens", words`--claim selective --procedure by-exit`],
    ["sampled", words`--temperature .8 --top-k 20`],
    ["as published", words`--procedure paper`],
    ["with a fill that changes other tokens, in two rounds", words`--fill propagate`],
  ])("gives the file of one process: %s", async (name, options) => {
    const one = folder.path(`${name}.json`);
    const parts = folder.path(`${name} parts`);
    const merged = folder.path(`${name} merged.json`);
    const whole = await succeed(words`${line} ${options} --out ${one}`);
    await shards(words`${line} ${options}`, parts, 3);
    if (options.includes("propagate")) await shards(words`${line} ${options}`, parts, 3);
    const { out } = await succeed(words`merge ${parts} --out ${merged}`);
    expect(readFileSync(merged, "utf8")).toBe(readFileSync(one, "utf8"));
    expect(out.replace(merged, one)).toBe(whole.out);
  });
});

describe("eval in shards", () => {
  it.each(["multiple-choice", "lambada", "perplexity"])("gives the file of one process: %s", async (kind) => {
    const task = kind === "perplexity" ? many : taskFile(kind);
    const line = words`
      eval ${model} --heads ${heads} --policy ${policy} --task ${task} --kind ${kind} --resamples 50 --limit 20
      --device reference`;
    const [one, parts, merged] = [`${kind}.json`, `${kind} parts`, `${kind} merged.json`].map((name) =>
      folder.path(name),
    );
    const whole = await succeed(words`${line} --out ${one!}`);
    await shards(line, parts!, 3);
    const { out } = await succeed(words`merge ${parts!} --out ${merged!}`);
    expect(readFileSync(merged!, "utf8")).toBe(readFileSync(one!, "utf8"));
    expect(out.replace(merged!, one!)).toBe(whole.out);
  });
});

function taskFile(kind: string): string {
  const items = sentences(20, 700).map((text, i) => {
    const [first, ...others] = text.split(". ");
    return kind === "lambada"
      ? { text: text.slice(0, -1) }
      : { query: first, choices: others.slice(0, 3), gold: i % 3 };
  });
  return writeText(folder.path(`${kind}.jsonl`), [items.map((item) => JSON.stringify(item)).join("\n")]);
}

describe("report in shards", () => {
  it("gives the file of one process, and the chart", async () => {
    const line = words`report ${model} --heads ${heads} --text ${many} --policy ${policy} --device reference`;
    const [one, chart, parts, merged] = ["one.json", "one.svg", "report parts", "merged.json"].map((name) =>
      folder.path(name),
    );
    await succeed(words`${line} --out ${one!} --svg ${chart!}`);
    await shards(line, parts!, 3);
    await succeed(words`merge ${parts!} --out ${merged!} --svg ${folder.path("merged.svg")}`);
    expect(readFileSync(merged!, "utf8")).toBe(readFileSync(one!, "utf8"));
    expect(readFileSync(folder.path("merged.svg"), "utf8")).toBe(readFileSync(chart!, "utf8"));
  });
});

describe("generate --prompts in shards", () => {
  const prompts = writeText(
    folder.path("prompts.txt"),
    sentences(19, 900).map((text) => text.slice(0, 20)),
  );
  const line = words`generate ${model} --prompts ${prompts} --max-new-tokens 9 --device reference`;

  it.each([
    ["greedy, with exits", words`--heads ${heads} --policy ${policy}`],
    ["sampled", words`--temperature 1 --seed 11`],
    ["lossless", words`--heads ${heads} --policy ${policy} --lossless --temperature .9`],
  ])("gives the file of one process: %s", async (name, options) => {
    const [one, parts, merged] = ["jsonl", "parts", "merged.jsonl"].map((end) => folder.path(`texts ${name}.${end}`));
    await succeed(words`${line} ${options} --out ${one!}`);
    await shards(words`${line} ${options}`, parts!, 4);
    await succeed(words`merge ${parts!} --out ${merged!}`);
    expect(readFileSync(merged!, "utf8")).toBe(readFileSync(one!, "utf8"));
    expect((await succeed(words`merge ${parts!}`)).out).toBe(readFileSync(one!, "utf8"));
  });

  it("samples prompt i with seed + i", async () => {
    const { out } = await succeed(words`${line} --temperature 1 --seed 11`);
    const { prompt, text } = parseJson(out.split("\n")[17]!);
    const alone = words`generate ${model} --temperature 1 --seed 28 --max-new-tokens 9 --device reference --json`;
    expect(parseJson((await succeed([...alone, "--prompt", prompt as string])).out)).toMatchObject({ text });
  });
});
