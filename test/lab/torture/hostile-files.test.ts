/**
 * Hostile contents in every file that commands read. Each ends as if it were legal, or is refused with a typed error:
 * never "unexpected", within 10 seconds of computing, and with less than a gigabyte.
 */
import { execFileSync } from "node:child_process";
import { cpSync, mkdirSync, readFileSync, rmSync, symlinkSync, truncateSync, writeFileSync } from "node:fs";
import { afterAll, describe, expect, it } from "vitest";
import { judge } from "../../../lab/torture/judge.js";
import { cli, pipeline, succeed, words, writeText } from "../../cli/support.js";

const LIMIT = { limit: 10_000 };
const GIGABYTE = 2 ** 30;

const { folder, heads, held, model, policy } = await pipeline();
afterAll(folder.remove);
const task = writeText(folder.path("task.jsonl"), ['{"query":"a","choices":["b","c"],"gold":0}']);
const prompts = writeText(folder.path("prompts.jsonl"), ['{"text":"the house"}']);
const template = writeText(folder.path("template.jinja"), ["{% for m in messages %}{{ m.content }}{% endfor %}"]);
const times = folder.path("times.json");
await succeed(words`plan ${model} --heads ${heads} --text ${held} --documents 4 --times ${times} --device reference`);
const certificate = folder.path("certificate.json");
await succeed(
  words`calibrate ${model} --heads ${heads} --text ${held} --agreement .1 --out ${certificate} --device reference`,
);

/** The content of a file, made from the one that is there; nothing if it makes the file itself. */
type Put = (original: Buffer, path: string) => string | Uint8Array | undefined;
const cases: Readonly<Record<string, Put>> = {
  nothing: () => "",
  null: () => "null",
  "a list": () => "[]",
  "lists of everything": () => '[[null,{"a":[]},-1,"x"],{"text":1},[["a"]]]',
  prototypes: () => '{"__proto__":{"text":"a"},"constructor":null,"toString":1}',
  "a million nested lists": () => "[".repeat(1e6),
  "many keys": () => `{${Array.from({ length: 2e5 }, (_, i) => `"${i}":0`).join()}}`,
  "one long word": () => "a".repeat(1e6),
  half: (original) => original.subarray(0, original.length >> 1),
  twice: (original) => Buffer.concat([original, original]),
  "a bit changed": (original) => original.map((byte, i) => (i === original.length >> 1 ? byte ^ 4 : byte)),
  "every number 1e15": (original) => original.toString("latin1").replaceAll(/\b\d+\b/g, "1000000000000000"),
  "every number -1": (original) => original.toString("latin1").replaceAll(/\b\d+(\.\d+)?\b/g, "-1"),
  "every text a number": (original) => original.toString("latin1").replaceAll(/: ?"[^"]*"/g, ":7"),
  "three gigabytes": (_, path) => {
    writeFileSync(path, "");
    truncateSync(path, 3e9);
    return undefined;
  },
  "a pipe": (_, path) => void execFileSync("mkfifo", [path]),
  "an endless device": (_, path) => {
    symlinkSync("/dev/zero", path);
    return undefined;
  },
};

const victim = folder.path("victim");
const put = (original: string, place: string, change: Put) => {
  rmSync(victim, { recursive: true, force: true });
  mkdirSync(victim);
  cpSync(model, `${victim}/model`, { recursive: true });
  cpSync(heads, `${victim}/heads`, { recursive: true });
  // A manifest would refuse all changes at once.
  for (const name of ["model", "heads"]) rmSync(`${victim}/${name}/manifest.json`, { force: true });
  rmSync(`${victim}/${place}`, { force: true });
  const content = change(readFileSync(original), `${victim}/${place}`);
  if (content !== undefined) writeFileSync(`${victim}/${place}`, content);
};

const run = words`generate ${`${victim}/model`} --prompt a --max-new-tokens 2`;
const exits = words`${run} --heads ${`${victim}/heads`} --policy ${policy}`;
const calibrate = words`calibrate ${model} --heads ${heads} --agreement .1`;
/** A place, the file whose it is, and the command line that reads it there. */
const files: readonly (readonly [place: string, original: string, line: readonly string[]])[] = [
  ["model/config.json", `${model}/config.json`, run],
  ["model/tokenizer.json", `${model}/tokenizer.json`, run],
  ["model/tokenizer_config.json", `${model}/tokenizer_config.json`, run],
  ["model/model.safetensors", `${model}/model.safetensors`, run],
  ["model/generation_config.json", `${model}/config.json`, run],
  ["model/model.safetensors.index.json", `${model}/config.json`, run],
  ["model.gguf", `${model}/model.safetensors`, words`generate ${`${victim}/model.gguf`} --prompt a`],
  ["heads/heads.json", `${heads}/heads.json`, exits],
  ["heads/heads.safetensors", `${heads}/heads.safetensors`, exits],
  ["heads/manifest.json", `${heads}/manifest.json`, exits],
  ["policy.json", policy, words`${run} --heads ${heads} --policy ${`${victim}/policy.json`}`],
  ["certificate.json", certificate, words`certificate verify ${`${victim}/certificate.json`}`],
  ["used.json", certificate, words`${run} --heads ${heads} --policy ${`${victim}/used.json`}`],
  ["prompts.jsonl", prompts, words`generate ${model} --prompts ${`${victim}/prompts.jsonl`} --max-new-tokens 2`],
  ["task.jsonl", task, words`eval ${model} --kind multiple-choice --task ${`${victim}/task.jsonl`} --limit 2`],
  ["times.json", times, words`${calibrate} --text ${held} --documents 20 --costs ${`${victim}/times.json`}`],
  ["held.txt", held, words`${calibrate} --text ${`${victim}/held.txt`} --documents 20`],
  ["held.jsonl", prompts, words`${calibrate} --text ${`${victim}/held.jsonl`} --documents 20`],
  ["template.jinja", template, words`chat ${model} --template ${`${victim}/template.jinja`}`],
];

describe(`${files.length * Object.keys(cases).length} hostile files`, () => {
  it.for(files)("in place of %s", async ([place, original, line]) => {
    for (const [name, change] of Object.entries(cases)) {
      put(original, place, change);
      const before = process.resourceUsage().maxRSS;
      const attack = async () => {
        const { code, out, err } = await cli(words`${line} --device reference --json`, { lines: ["hello"] });
        if (code !== 0 && out.includes('"code":"unexpected"')) throw new Error(err);
      };
      await judge(attack, LIMIT).catch((error: unknown) => {
        throw new Error(`${place}: ${name}`, { cause: error });
      });
      expect(1024 * (process.resourceUsage().maxRSS - before), `${place}: ${name}`).toBeLessThan(GIGABYTE);
    }
  });
});
