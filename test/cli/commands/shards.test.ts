/** Work in shards: what all of them leave in a store gives, byte for byte, the files of one process. */
import { readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { afterAll, describe, expect, it } from "vitest";
import { cli, parseJson, pipeline, refused, sentences, succeed, words, writeText } from "../support.js";

const { folder, heads, model, policy } = await pipeline();
afterAll(folder.remove);
const many = writeText(folder.path("many.txt"), [...sentences(40, 300), ...sentences(3, 300)]);

/** Runs a command for every shard, in an order that no engine would choose. */
async function shards(line: readonly string[], store: string, of: number) {
  let notes = "";
  for (let index = of - 1; index >= 0; index--) {
    notes += (await succeed(words`${line} --shard ${`${index}/${of}`} --store ${store}`)).err;
  }
  return notes;
}

/** The files of a store, by name. */
function filesOf(store: string) {
  return new Map(readdirSync(store).map((name) => [name, readFileSync(`${store}/${name}`)]));
}

/** Without the verdict, which takes times. */
function untimed(out: string) {
  return out.replace(/(?<=\n)(verdict|next):[^]*$/, "");
}

interface Compared {
  /** The file of one process, a store, and the file that is made from it. */
  readonly one: string;
  readonly store: string;
  readonly merged: string;
  /** Output of the one process. */
  readonly out: string;
}

/** Runs a command in one process. */
async function alone(name: string, line: readonly string[]) {
  const one = folder.path(`${name}.json`);
  const { out } = await succeed(words`${line} --out ${one}`);
  return { one, store: folder.path(`${name} store`), merged: folder.path(`${name} merged.json`), out };
}

/** Makes a file from the store, which must be that of one process. Returns what was printed, but for its name. */
async function expectMerged(line: readonly string[], { one, store, merged }: Compared) {
  const { out } = await succeed(words`${line} --store ${store} --out ${merged}`);
  expect(readFileSync(merged, "utf8")).toBe(readFileSync(one, "utf8"));
  return out.replace(merged, one);
}

const calibrate = words`calibrate ${model} --heads ${heads} --text ${many} --device reference`;
const promised = words`${calibrate} --agreement .3 --delta .1`;
const prompts = sentences(24, 900).map((prompt) => JSON.stringify({ prompt: prompt.slice(0, 20) }));
const asked = writeText(folder.path("asked.jsonl"), [prompts.join("\n")]);
const answered = words`
  calibrate ${model} --heads ${heads} --prompts ${asked} --max-new-tokens 6 --device reference`;
const scored = (kind: string, task: string) => words`
  eval ${model} --heads ${heads} --policy ${policy} --task ${task} --kind ${kind} --resamples 50 --limit 20
  --device reference`;

it.each([
  ["certified, with copies of documents", 1, words`${promised} --score margin`],
  ["certified, sampled", 1, words`${promised} --temperature .8 --top-k 20`],
  ["as published", 1, words`${promised} --paper`],
  ["certified, with a fill that changes other tokens", 2, words`${promised} --fill project`],
  ["answers of prompts, candidate by candidate", 6, words`${answered} --loss changed --epsilon .9 --delta .3`],
  ["multiple choice", 1, scored("multiple-choice", taskFile("multiple-choice"))],
  ["lambada", 1, scored("lambada", taskFile("lambada"))],
  ["perplexity", 1, scored("perplexity", many)],
])("the file of one process is given by shards: %s, in rounds: %i", async (name, rounds, line) => {
  const compared = await alone(name, line);
  for (let round = 0; round < rounds; round++) await shards(line, compared.store, 3);
  const filled = filesOf(compared.store);
  expect(untimed(await expectMerged(line, compared))).toBe(untimed(compared.out));
  expect(filesOf(compared.store), "nothing was left to do").toEqual(filled);
  if (line[0] !== "eval") return; // calibrate has a test of its own for what is missing
  rmSync(`${compared.store}/${readdirSync(compared.store)[0]!}`);
  await expectMerged(line, compared);
});

describe("calibrate in shards", () => {
  it("runs candidates once all documents are recorded, and makes in the end what is missing", async () => {
    const project = words`${promised} --fill project`;
    const compared = await alone("rounds", project);
    const { store } = compared;
    const first = await succeed(words`${project} --shard 0/2 --store ${store}`);
    expect(first.err).toContain("run the same command again");
    expect([...filesOf(store).keys()].filter((name) => name.startsWith("run-"))).toEqual([]);
    const second = await succeed(words`${project} --shard 1/2 --store ${store}`);
    expect(second.err).toContain("shard 1 of 2: all candidates have run on its documents");
    for (const name of readdirSync(store).slice(0, 5)) rmSync(`${store}/${name}`);
    await expectMerged(project, compared);
  });

  it("takes nothing of another model, other heads or another dtype from a store", async () => {
    const other = words`${promised} --dtype bfloat16`;
    const compared = await alone("bf16", other);
    await shards(promised, compared.store, 2);
    const others = filesOf(compared.store).size;
    await expectMerged(other, compared);
    expect(filesOf(compared.store).size, "shards record copies too").toBeGreaterThan(1.9 * others);
  });

  it("refuses a damaged file, by its name", async () => {
    const store = folder.path("damaged");
    await shards(promised, store, 2);
    const [name] = readdirSync(store);
    const bytes = readFileSync(`${store}/${name!}`);
    bytes[bytes.length >> 1]! ^= 1;
    writeFileSync(`${store}/${name!}`, bytes);
    const { code, out } = await cli(words`${promised} --store ${store} --json`);
    expect(code).toBe(1);
    expect(parseJson(out)).toMatchObject({ error: { code: "store-damaged", details: { name } } });
  });
});

describe("eval in shards", () => {
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

function taskFile(kind: string) {
  const items = sentences(20, 700).map((text, i) => {
    const [first, ...others] = text.split(". ");
    return kind === "lambada"
      ? { text: text.slice(0, -1) }
      : { query: first, choices: others.slice(0, 3), gold: i % 3 };
  });
  return writeText(folder.path(`${kind}.jsonl`), [items.map((item) => JSON.stringify(item)).join("\n")]);
}

describe("--shard refuses", () => {
  it.each([
    [words`${calibrate} --shard 0/2`, "--shard needs --store"],
    [words`${calibrate} --shard 0/2 --store s --own-text 4`, "--own-text does not go with --shard"],
    [words`${calibrate} --shard 0/2 --store s --costs measured`, "plan --times"],
    [words`${calibrate} --shard 0/2 --store s --out policy.json`, "the same command without --shard writes the file"],
    [words`eval ${model} --task ${many} --kind perplexity --shard 0/2`, "--shard needs --store"],
  ])("%j", async (line, why) => expect(await refused(line, 2)).toContain(why));

  it("a share that does not exist", async () =>
    expect(await refused(words`${calibrate} --shard 2/2 --store s`)).toContain("2/2"));
});

it("measured costs come from a file, the same for every process", async () => {
  const times = folder.path("times.json");
  await succeed(words`plan ${model} --heads ${heads} --text ${many} --documents 6 --times ${times} --device reference`);
  const line = words`${calibrate} --agreement .3 --costs ${times}`;
  const compared = await alone("timed", line);
  await shards(line, compared.store, 2);
  await expectMerged(line, compared);
  expect(parseJson(readFileSync(compared.one, "utf8"))).toMatchObject({ costUnit: "milliseconds" });
  writeText(times, [readFileSync(times, "utf8").replace('"heads"', '"tails"')]);
  expect((await cli(line)).err).toContain("expected unit times of 2 exits");
});
