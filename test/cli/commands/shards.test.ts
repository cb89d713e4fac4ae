/** Work in shards: what all of them leave in a store gives, byte for byte, the files of one process. */
import { readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { afterAll, describe, expect, it } from "vitest";
import { cli, parseJson, pipeline, sentences, succeed, words, writeText } from "../support.js";

const { folder, heads, model, policy } = await pipeline();
afterAll(folder.remove);
const many = writeText(folder.path("many.txt"), [...sentences(40, 300), ...sentences(3, 300)]);

/** Runs a command for every shard, in an order that no engine would choose. */
async function shards(line: readonly string[], store: string, of: number): Promise<string> {
  let notes = "";
  for (let index = of - 1; index >= 0; index--) {
    notes += (await succeed(words`${line} --shard ${`${index}/${of}`} --store ${store}`)).err;
  }
  return notes;
}

/** The files of a store, by name. */
function filesOf(store: string): ReadonlyMap<string, Buffer> {
  return new Map(readdirSync(store).map((name) => [name, readFileSync(`${store}/${name}`)]));
}

/** Without the verdict, which takes times. */
function untimed(out: string): string {
  return out.replace(/(?<=\n)(verdict|next):[^]*$/, "");
}

describe("calibrate in shards", () => {
  const line = words`calibrate ${model} --heads ${heads} --text ${many} --agreement .3 --delta .1 --device reference`;

  it.each([
    ["certified, with copies of documents", words`--score margin`],
    ["sampled", words`--temperature .8 --top-k 20`],
    ["as published", words`--paper`],
    ["with a fill that changes other tokens, in two rounds", words`--fill project`],
  ])("gives the file of one process: %s", async (name, options) => {
    const [one, store, merged] = ["one.json", "store", "merged.json"].map((end) => folder.path(`${name} ${end}`));
    const whole = await succeed(words`${line} ${options} --out ${one!}`);
    await shards(words`${line} ${options}`, store!, 3);
    if (options.includes("project")) await shards(words`${line} ${options}`, store!, 3);
    const filled = filesOf(store!);
    const { out } = await succeed(words`${line} ${options} --store ${store!} --out ${merged!}`);
    expect(readFileSync(merged!, "utf8")).toBe(readFileSync(one!, "utf8"));
    expect(untimed(out.replace(merged!, one!))).toBe(untimed(whole.out));
    expect(filesOf(store!), "nothing was left to record").toEqual(filled);
  });

  it("runs candidates once all documents are recorded, and makes in the end what is missing", async () => {
    const [one, store, merged] = ["rounds one.json", "rounds", "rounds merged.json"].map((end) => folder.path(end));
    const project = words`${line} --fill project`;
    await succeed(words`${project} --out ${one!}`);
    const first = await succeed(words`${project} --shard 0/2 --store ${store!}`);
    expect(first.err).toContain("run the same command again");
    expect([...filesOf(store!).keys()].filter((name) => name.startsWith("run-"))).toEqual([]);
    const second = await succeed(words`${project} --shard 1/2 --store ${store!}`);
    expect(second.err).toContain("shard 1 of 2: all candidates have run on its documents");
    for (const name of readdirSync(store!).slice(0, 5)) rmSync(`${store!}/${name}`);
    await succeed(words`${project} --store ${store!} --out ${merged!}`);
    expect(readFileSync(merged!, "utf8")).toBe(readFileSync(one!, "utf8"));
  });

  it("takes nothing of another model, other heads or another dtype from a store", async () => {
    const [one, store, merged] = ["bf16.json", "dtypes", "bf16 merged.json"].map((end) => folder.path(end));
    const other = words`${line} --dtype bfloat16`;
    await succeed(words`${other} --out ${one!}`);
    await shards(line, store!, 2);
    const others = filesOf(store!).size;
    await succeed(words`${other} --store ${store!} --out ${merged!}`);
    expect(readFileSync(merged!, "utf8")).toBe(readFileSync(one!, "utf8"));
    expect(filesOf(store!).size).toBe(2 * others);
  });

  it("refuses a damaged file, by its name", async () => {
    const store = folder.path("damaged");
    await shards(line, store, 2);
    const [name] = readdirSync(store);
    const bytes = readFileSync(`${store}/${name!}`);
    bytes[bytes.length >> 1]! ^= 1;
    writeFileSync(`${store}/${name!}`, bytes);
    const refused = await cli(words`${line} --store ${store} --json`);
    expect(refused.code).toBe(1);
    expect(parseJson(refused.out)).toMatchObject({ error: { code: "store-damaged", details: { name } } });
  });
});

describe("eval in shards", () => {
  it.each(["multiple-choice", "lambada", "perplexity"])("gives the file of one process: %s", async (kind) => {
    const task = kind === "perplexity" ? many : taskFile(kind);
    const line = words`
      eval ${model} --heads ${heads} --policy ${policy} --task ${task} --kind ${kind} --resamples 50 --limit 20
      --device reference`;
    const [one, store, merged] = [`${kind}.json`, `${kind} store`, `${kind} merged.json`].map((name) =>
      folder.path(name),
    );
    const whole = await succeed(words`${line} --out ${one!}`);
    await shards(line, store!, 3);
    const filled = filesOf(store!);
    const { out } = await succeed(words`${line} --store ${store!} --out ${merged!}`);
    expect(readFileSync(merged!, "utf8")).toBe(readFileSync(one!, "utf8"));
    expect(out.replace(merged!, one!)).toBe(whole.out);
    expect(filesOf(store!), "nothing was left to score").toEqual(filled);
    rmSync(`${store!}/${readdirSync(store!)[0]!}`);
    await succeed(words`${line} --store ${store!} --out ${merged!}`);
    expect(readFileSync(merged!, "utf8")).toBe(readFileSync(one!, "utf8"));
  });

  it("takes scores of the same policies alone from a store", async () => {
    const store = folder.path("policies store");
    const line = words`eval ${model} --task ${many} --kind perplexity --limit 5 --device reference --store ${store}`;
    await succeed(line);
    const plain = filesOf(store).size;
    await succeed(words`${line} --heads ${heads} --policy ${policy}`);
    expect(filesOf(store).size).toBe(2 * plain);
  });

  it("has more shards than items, if it must", async () => {
    const store = folder.path("few items");
    const line = words`eval ${model} --task ${many} --kind perplexity --limit 2 --device reference`;
    expect(await shards(line, store, 4)).toContain("shard 3 of 4: all of its items are scored");
    expect(filesOf(store).size).toBe(2);
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

describe("--shard refuses", () => {
  const line = words`calibrate ${model} --heads ${heads} --text ${many} --device reference`;

  it.each([
    [words`${line} --shard 0/2`, "--shard needs --store"],
    [words`${line} --shard 0/2 --store s --own-text 4`, "--own-text does not go with --shard"],
    [words`${line} --shard 0/2 --store s --costs measured`, "plan --times"],
    [words`${line} --shard 0/2 --store s --out policy.json`, "the same command without --shard writes the file"],
    [words`eval ${model} --task ${many} --kind perplexity --shard 0/2`, "--shard needs --store"],
  ])("%j", async (refused, why) => {
    expect(await cli(refused)).toMatchObject({ code: 2, err: expect.stringContaining(why) as string });
  });

  it("a share that does not exist", async () => {
    const refused = await cli(words`${line} --shard 2/2 --store s --json`);
    expect(refused.code).toBe(1);
    expect(parseJson(refused.out)).toMatchObject({ error: { code: "shard-range" } });
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
    const [one, store, merged] = ["timed.json", "timed store", "timed merged.json"].map((name) => folder.path(name));
    await succeed(words`${line} --out ${one!}`);
    await shards(line, store!, 2);
    await succeed(words`${line} --store ${store!} --out ${merged!}`);
    expect(readFileSync(merged!, "utf8")).toBe(readFileSync(one!, "utf8"));
    expect(parseJson(readFileSync(one!, "utf8"))).toMatchObject({ costUnit: "milliseconds" });
    writeText(times, [readFileSync(times, "utf8").replace('"heads"', '"tails"')]);
    expect((await cli(line)).err).toContain("expected unit times of 2 exits");
  });
});
