/** Work in shards: every command's parts, merged, are byte for byte what one process writes. */
import { readdirSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { cli, parseJson, pipeline, sentences, succeed, words, writeText } from "../support.js";

const { folder, heads, model, policy, train } = await pipeline();
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
    ["of any change", words`--loss any-change`],
    ["sampled", words`--temperature .8 --top-k 20`],
    ["as published", words`--paper`],
    ["with a fill that changes other tokens, in two rounds", words`--fill project`],
  ])("gives the file of one process: %s", async (name, options) => {
    const one = folder.path(`${name}.json`);
    const parts = folder.path(`${name} parts`);
    const merged = folder.path(`${name} merged.json`);
    const whole = await succeed(words`${line} ${options} --out ${one}`);
    await shards(words`${line} ${options}`, parts, 3);
    if (options.includes("project")) await shards(words`${line} ${options}`, parts, 3);
    const { out } = await succeed(words`merge ${parts} --out ${merged}`);
    expect(readFileSync(merged, "utf8")).toBe(readFileSync(one, "utf8"));
    expect(out.replace(merged, one)).toBe(untimed(whole.out));
  });
});

/** Without the verdict, which takes the model: merge has none. */
function untimed(out: string): string {
  return out.replace(/(?<=\n)(verdict|next):[^]*$/, "");
}

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

describe("train --cache in shards", () => {
  it("gives the cache of one process, from which training goes on", async () => {
    const line = words`${train} --sequence 8 --steps 2`;
    const [one, parts, merged] = ["states", "states parts", "states merged"].map((name) => folder.path(name));
    await succeed(words`${line} --cache ${one!} --out ${folder.path("heads one")}`);
    await shards(words`${line} --cache ${merged!} --out ${folder.path("heads merged")}`, parts!, 3);
    await succeed(words`merge ${parts!} --out ${merged!}`);
    const [cache] = readdirSync(merged!);
    const names = readdirSync(join(merged!, cache!));
    expect(names.length).toBeGreaterThan(3);
    for (const name of names) {
      expect(readFileSync(join(merged!, cache!, name)), name).toEqual(readFileSync(join(one!, cache!, name)));
    }
    const { err } = await succeed(words`${line} --cache ${merged!} --out ${folder.path("heads merged")}`);
    expect(err).toContain("shards (kept)");
    const weights = (name: string): Buffer => readFileSync(folder.path(name, "heads.safetensors"));
    expect(weights("heads merged")).toEqual(weights("heads one"));
  });
});

describe("merge and --shard refuse", () => {
  const line = words`calibrate ${model} --heads ${heads} --text ${many} --device reference`;

  it.each([
    [words`${line} --shard 0/2`, "--shard and --parts go together"],
    [words`${line} --shard 0/2 --parts p --own-text 4`, "--own-text does not go with --shard"],
    [words`${line} --shard 0/2 --parts p --costs measured`, "plan --times"],
    [words`${line} --shard 0/2 --parts p --out policy.json`, "early-exits merge writes the certificate"],
    [words`generate ${model} --prompt a --shard 0/2 --parts p`, "give many with --prompts"],
    [words`${train} --out ${heads} --shard 0/2 --parts p`, "give --cache"],
  ])("%j", async (refused, why) => {
    expect(await cli(refused)).toMatchObject({ code: 2, err: expect.stringContaining(why) as string });
  });

  it("a first round without the second", async () => {
    const parts = folder.path("one round");
    await shards(words`${line} --fill project`, parts, 2);
    rmSync(join(parts, "runs-00000-of-00002"), { recursive: true, force: true });
    const refused = await cli(words`merge ${parts}`);
    expect(refused).toMatchObject({ code: 1, err: expect.stringContaining('round "runs"') as string });
  });

  it("a shard of another text, and parts that are not there", async () => {
    const parts = folder.path("two texts");
    await succeed(words`${line} --shard 0/2 --parts ${parts}`);
    await succeed(words`${line} --documents 20 --shard 1/2 --parts ${parts}`);
    const refused = await cli(words`merge ${parts} --json`);
    expect(refused.code).toBe(1);
    expect(parseJson(refused.out)).toMatchObject({ error: { code: "part-foreign" } });
    expect(await cli(words`merge ${folder.path("nowhere")}`)).toMatchObject({ code: 1 });
  });
});

describe("measured costs", () => {
  it("come from a file, the same for every process", async () => {
    const times = folder.path("times.json");
    await succeed(
      words`plan ${model} --heads ${heads} --text ${many} --documents 6 --times ${times} --device reference`,
    );
    const line = words`
      calibrate ${model} --heads ${heads} --text ${many} --agreement .3 --costs ${times} --device reference`;
    const [one, parts, merged] = ["timed.json", "timed parts", "timed merged.json"].map((name) => folder.path(name));
    await succeed(words`${line} --out ${one!}`);
    await shards(line, parts!, 2);
    await succeed(words`merge ${parts!} --out ${merged!}`);
    expect(readFileSync(merged!, "utf8")).toBe(readFileSync(one!, "utf8"));
    expect(parseJson(readFileSync(one!, "utf8"))).toMatchObject({ costUnit: "milliseconds" });
    writeText(times, [readFileSync(times, "utf8").replace('"heads"', '"tails"')]);
    expect((await cli(line)).err).toContain("expected unit times of 2 exits");
  });
});
