/** `train` on one tiny model: heads of several kinds, interrupts, caches, own text, learned keys and values. */
import { existsSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import type { HeadsDescription } from "../../../src/exits/heads/heads-description.js";
import { expect, it } from "vitest";
import { trainCommand } from "../../../apps/cli/commands/train.js";
import { main } from "../../../apps/cli/program.js";
import { cli, interruptedAt, parseJson, pipeline, refused, sentences, succeed, words, writeText } from "../support.js";
import { times } from "../../support/lists.js";

const { folder, heads, model, text, train } = await pipeline();

function expectSame(one: string, other: string, file = "heads.safetensors") {
  expect(readFileSync(`${other}/${file}`).equals(readFileSync(`${one}/${file}`))).toBe(true);
}

it("writes heads, and repeats itself byte for byte", async () => {
  const files = readdirSync(heads).filter((name) => name !== "calibrated.json"); // a note of calibrate's
  expect(files.sort()).toEqual([
    "heads.json",
    "heads.safetensors",
    "manifest.json",
    "training-log.jsonl",
    "training.json",
  ]);
  const { out, err } = await cli(words`${train} --out ${folder.path("twin")} --json`);
  const result = parseJson(out);
  expect(result).toMatchObject({ depths: [1, 2], options: { kind: "dense", steps: 12 } });
  expect((result["agreement"] as number[]).length).toBe(2);
  expect(err).toContain("train 12/12");
  expect(err).toMatch(/fit \d+\/\d+ +batches/); // learned keys and values
  expect(parseJson(readFileSync(`${heads}/heads.json`, "utf8"))).toMatchObject({
    version: 5,
    heads: [{ projection: "normalized" }, { projection: "normalized" }],
  });
  expectSame(folder.path("twin"), heads);
});

it("overwrites finished heads only with --force", async () => {
  const out = folder.path("twin");
  const before = readFileSync(`${out}/heads.json`);
  expect(await refused(words`${train} --out ${out}`)).toMatch(
    /heads\.json: this folder holds finished work, .* --force/,
  );
  expect(readFileSync(`${out}/heads.json`).equals(before)).toBe(true);
  expect(existsSync(`${out}/checkpoint`)).toBe(false);
  await succeed(words`${train} --out ${out} --force`);
  const manifest = parseJson(readFileSync(`${out}/manifest.json`, "utf8")) as { files: object };
  expect(Object.keys(manifest.files).sort()).toEqual(["heads.json", "heads.safetensors", "training.json"]);
});

it("runs with the defaults that its help states", () => {
  const { options } = parseJson(readFileSync(`${heads}/training.json`, "utf8")) as { options: object };
  const { lr, seed, heldShare, measureEvery } = trainCommand.defaults;
  expect(options).toMatchObject({ kind: "dense", lr, seed, heldShare, measureEvery });
});

it("keeps its state on an interrupt and resumes bit for bit", async () => {
  const out = folder.path("resumed");
  expect(await main(words`${train} --out ${out}`, interruptedAt("train 5/12"))).toBe(130);
  expect(existsSync(`${out}/heads.safetensors`)).toBe(false);
  const resume = words`train ${model} --text ${text} --out ${out} --resume --device reference`;
  expect(await refused(words`${resume} --dtype bfloat16`)).toContain('started with storage "float32"');
  const { code, err } = await cli(resume);
  expect(err).toContain("resuming after step 5");
  expect(code).toBe(0);
  expectSame(out, heads);
});

it("trains from a cache of hidden states and reuses it", async () => {
  const cached = (out: string) =>
    cli(words`${train} --kind linear --cache ${folder.path("cache")} --out ${folder.path(out)}`);
  const first = await cached("cached");
  expect(first).toMatchObject({ code: 0 });
  expect((await cached("cached-again")).err).toContain("shards (kept)");
  expectSame(folder.path("cached"), folder.path("cached-again"));
});

it("fits a preview of the unembedding beside trained heads, or alone, and what is alone decodes", async () => {
  const beside = folder.path("beside");
  const { err } = await succeed(
    words`${train} --preview 8 --candidates 20 --cache ${folder.path("cache-beside")} --out ${beside}`,
  );
  expect(err).toContain("heads: dense at depth 1, 2; a preview of the unembedding after block 3 of 3");
  const report = parseJson(readFileSync(`${beside}/training.json`, "utf8"));
  expect(report).toMatchObject({ depths: [1, 2, 3], options: { preview: 8, candidates: 20 } });
  expect((report["agreement"] as number[]).length).toBe(2); // of the heads that were trained
  expect((report["held"] as { after: { depth: number }[] }).after.map(({ depth }) => depth)).toEqual([1, 2, 3]);

  const alone = folder.path("alone");
  const only = words`train ${model} --text ${text} --exits 0 --device reference --out ${alone}`;
  expect((await cli(only)).err).toContain("--exits 0 leaves nothing to make");
  expect((await succeed(words`${only} --preview 12 --candidates 40 --preview-list 90`)).err).not.toContain("train 1/");
  const json = readFileSync(`${alone}/heads.json`, "utf8");
  expect(json.split("\n").length).toBeLessThan(30); // a list is one line
  const { heads: stored } = JSON.parse(json) as HeadsDescription;
  expect(stored).toMatchObject([{ kind: "preview", preview: { rank: 12, candidates: 40 } }]);
  expect(stored[0]!.preview!.tokens).toHaveLength(90);
  const policy = folder.path("preview.json");
  const others = writeText(folder.path("others.txt"), sentences(60, 100));
  const { err: calibrated } = await cli(words`
      calibrate ${model} --heads ${alone} --text ${others} --agreement .3 --delta .2 --costs measured --out ${policy}
      --device reference`);
  expect(calibrated).not.toContain("error");
  const { err: generated } = await succeed(words`
      generate ${model} --heads ${alone} --policy ${policy} --prompt house --max-new-tokens 4 --device reference`);
  expect(generated).not.toContain("error");
});

it("answers prompts, keeps the answers and their states, and goes on after an interrupt", async () => {
  const prompts = folder.path("prompts.jsonl");
  writeFileSync(prompts, times(24, (i) => JSON.stringify({ text: `house ${i}` })).join("\n"));
  const command = (name: string) => words`
      train ${model} --self --prompts ${prompts} --self-tokens 8
      --cache ${folder.path(`${name}-states`)} --depths 1,2 --kind linear --list 40 --steps 4 --batch 2
      --sequence 16 --held-share .25 --measure-every 2 --out ${folder.path(name)} --device reference --json`;
  const whole = parseJson((await succeed(command("answers"))).out) as {
    held: { before: object[]; after: object[] };
    options: object;
  };
  expect(whole).toMatchObject({ depths: [1, 2], options: { self: 24, list: 40, depths: [1, 2] } });
  expect([whole.held.before.length, whole.held.after.length]).toEqual([2, 2]);
  const log = readFileSync(folder.path("answers", "training-log.jsonl"), "utf8").trim().split("\n");
  expect(log.map((line) => (parseJson(line) as { step: number }).step)).toEqual([2, 4]);

  expect(await main(command("broken"), interruptedAt("sample 9/24"))).toBe(130);
  expect((await succeed(command("broken"))).err).toContain("sampling goes on after them");
  const answersIn = (name: string) => readdirSync(folder.path(name)).filter((file) => file.startsWith("answers-"));
  for (const file of [...answersIn("answers"), "heads.safetensors"]) {
    expectSame(folder.path("answers"), folder.path("broken"), file);
  }
  // Others answer anew, and have files of their own.
  await succeed(words`${command("broken")} --cache ${folder.path("other-states")} --seed 5 --force`);
  expect(answersIn("broken")).toHaveLength(2);
});

it("records again what the cache has no room for, with the same bytes", async () => {
  const cache = folder.path("limited");
  await succeed(words`${train} --kind linear --cache ${cache} --cache-limit 0 --out ${folder.path("limited-out")}`);
  expectSame(folder.path("cached"), folder.path("limited-out"));
});

it("refuses options that contradict each other", async () => {
  const line = words`train ${model} --out ${folder.path("refused")} --text ${text}`;
  expect(await refused(words`${line} --self 4`, 2)).toContain("either --text PATH or --self");
  expect(await refused(words`${line} --exits 2 --depths 1,2`, 2)).toContain("either --exits");
  expect(await refused(words`${line} --prompts ${text}`, 2)).toContain("answered with --self");
  expect(await refused(words`${line} --list 3`, 2)).toContain("for linear heads");
});

it("gives heads a preview of the tokens that the model predicts most often", async () => {
  const short = folder.path("short");
  await succeed(
    words`${train.slice(0, -2)} --kind linear --head-preview 8 --preview-list 30 --out ${short} --device reference`,
  );
  const { heads: described } = JSON.parse(readFileSync(`${short}/heads.json`, "utf8")) as HeadsDescription;
  expect(described.map(({ kind, preview }) => [kind, preview?.tokens?.length])).toEqual([
    ["linear", 30],
    ["linear", 30],
  ]);
});
