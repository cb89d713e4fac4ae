/** Commands that look at a model and judge its heads: plan and eval on one tiny model. */
import { cpSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { cli, parseJson, pipeline, refused, succeed, words } from "../support.js";

const KINDS = ["dense", "linear", "linearPreview"];
const { folder, heads, held, model, policy } = await pipeline();

describe("early-exits plan", () => {
  it("shows the model and what it takes", async () => {
    const { out } = await succeed(words`plan ${model}`);
    for (const fact of [
      "llama",
      "stored as BF16",
      "2 heads of 8, 1 for keys and values",
      "tokenizer       280 entries",
      "KV cache        of 1,000 tokens: ",
      "unused tensors  none",
    ]) {
      expect(out).toContain(fact);
    }
    const json = parseJson((await cli(words`plan ${model} --json`)).out);
    expect(json).toMatchObject({ dtypes: { BF16: json["parameters"] }, missing: [], misshapen: [], damaged: null });
  });

  it("--check reads the weights, and names tensors that hold NaN", async () => {
    expect((await succeed(words`plan ${model} --check`)).out).toContain("weights checked: all are finite numbers");
    const damaged = folder.path("damaged");
    cpSync(model, damaged, { recursive: true });
    rmSync(`${damaged}/manifest.json`);
    const weights = readFileSync(`${damaged}/model.safetensors`);
    weights.fill(0xff, weights.length - 2); // a NaN in bfloat16
    writeFileSync(`${damaged}/model.safetensors`, weights);
    expect((await succeed(words`plan ${damaged} --check`)).out).toMatch(/damaged: \S+ holds 1 NaN/);
  });

  it("predicts from config.json alone whether exits can pay, by kind and placement", async () => {
    const { out } = await succeed(words`plan ${model}`);
    expect(out).toMatch(/dense +2 +1\.03 blocks +\d+ % +\d\.\d\dx/);
    expect(out).toMatch(
      /\nverdict: exits .*: dense heads, as train makes them, at depths .* if \d+ % .* leave, .*\nnext:\n/,
    );
    expect(parseJson((await cli(words`plan ${model} --fill lazy --json`)).out)).toMatchObject({
      fill: "lazy",
      measured: null,
      plans: KINDS.flatMap((kind) => [
        { kind, depths: [2] },
        { kind, depths: [2, 3] },
      ]),
    });
  });

  it("predicts it from measurements if heads and text are given", async () => {
    const { out } = await cli(words`
      plan ${model} --heads ${heads} --text ${held} --agreement .6 --device reference --json`);
    const { measured } = parseJson(out) as {
      measured: {
        plain: number;
        fill: string;
        scores: { score: string; speedup: number }[];
        lossless: { depth: number; acceptance: number }[];
      };
    };
    expect(measured.fill).toBe("project");
    expect(measured.plain).toBeGreaterThan(0);
    expect(measured.scores.map(({ score }) => score)).toEqual(["entropy", "maxProb", "margin", "probGap"]);
    expect(measured.scores.every(({ speedup }) => speedup > 0)).toBe(true);
    expect(measured.lossless.map(({ depth }) => depth)).toEqual([1, 2]);
    await refused(words`plan ${model} --heads ${heads}`, 2);
  });
});

describe("early-exits eval", () => {
  const task = folder.path("task.jsonl");
  const items = ["the house holds", "a river follows", "our union remembers"].map((query, i) => ({
    query,
    choices: ["our union.", "the winter.", "one\u2028people."],
    gold: i,
  }));
  const evaluate = words`eval ${model} --task ${task} --kind multiple-choice --device reference`;
  writeFileSync(task, `${items.map((item) => JSON.stringify(item)).join("\n")}\n\n`);

  it("scores a task with exits off and with each policy", async () => {
    const { out, err } = await succeed(words`${evaluate} --heads ${heads} --policy ${policy}`);
    expect(err).toContain("eval 3/3  items,");
    const [headline, metrics, off, byPolicy] = out.split("\n");
    expect(headline).toMatch(
      /^multiple-choice: 3 items, \d+ tokens scored; in brackets 95 % intervals over resampled items$/,
    );
    expect(metrics).toMatch(/^ +acc +acc_norm +agreement +mean depth$/);
    expect(off).toMatch(/^ +exits off +\d+\.\d \[.*\] +\d+\.\d \[.*\] +100\.0 % +3\.00 of 3$/);
    expect(byPolicy).toMatch(/^ +policy /);
    expect(out).toMatch(/\nDifference from exits off, on the same items:\n +acc +acc_norm\n +policy +[+-]\d+\.\d \[/);
    expect(out).toMatch(/\npolicy: to certify 1, 2 or 5 points .* takes .*(\d|Infinity) prompts/);
    const json = parseJson(
      (await cli(words`${evaluate} --heads ${heads} --policy ${policy} ${policy} --limit 2 --json`)).out,
    );
    expect(json).toMatchObject({
      task,
      format: "early-exits/evaluation",
      items: 2,
      ways: [{ policy: null, meanDepth: 3 }, {}, {}],
    });
    const [, one, two] = json["ways"] as unknown[];
    expect(one).toEqual(two);
  });

  it("measures perplexity on text, and refuses a bad line before it begins", async () => {
    const perplexity = parseJson(
      (await cli(words`eval ${model} --task ${held} --kind perplexity --limit 4 --json --device reference`)).out,
    );
    expect(perplexity).toMatchObject({ kind: "perplexity", items: 4 });
    const broken = folder.path("broken.jsonl");
    writeFileSync(broken, `${JSON.stringify(items[0])}\n\n${JSON.stringify({ ...items[1], choices: ["a", ""] })}\n`);
    const { code, out, err } = await cli(words`eval ${model} --task ${broken} --kind multiple-choice --json`);
    expect(code).toBe(1);
    expect(err).toBe(
      'error: task, line 3: "choices"[1] is empty; a line of a multiple-choice task is {"query", "choices", ' +
        '"gold"}, {"ctx", "endings", "label"}, or {"context_options", "continuation", "gold"}\n',
    );
    expect(parseJson(out)).toMatchObject({ error: { code: "task-line", details: { line: 3 } } });
    expect((await cli(words`eval ${model} --task ${folder.path("none.jsonl")} --kind lambada`)).err).toMatch(
      /none\.jsonl: cannot be read \(ENOENT\)/,
    );
    await refused(words`${evaluate} --policy ${policy}`, 2);
    await refused(words`eval ${model} --task ${task}`, 2);
  });
});
