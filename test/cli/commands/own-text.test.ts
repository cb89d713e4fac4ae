/** `train --self` and `calibrate --self` on a chat model, which writes its own prompts; `--shipped`. */
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { availableParallelism } from "node:os";
import { describe, expect, it } from "vitest";
import { text, VALUE } from "../../support/gguf/bytes.js";
import { ggufModel } from "../../support/gguf/model.js";
import { cli, parseJson, refused, scratch, succeed, words } from "../support.js";

const folder = scratch();
const template =
  "{% for message in messages %}<|im_start|>{{ message.role }} {{ message.content }}<|endoftext|>{% endfor %}" +
  "{% if add_generation_prompt %}<|im_start|>assistant {% endif %}";
const { files, name } = await ggufModel({
  config: { tie_word_embeddings: true, max_position_embeddings: 256 },
  pairs: { "tokenizer.chat_template": [VALUE.string, text(template)] },
});
mkdirSync(folder.path("chat"));
const model = folder.path("chat", name);
writeFileSync(model, files[name]!);
const heads = folder.path("heads");
const train = words`
  train ${model} --self 24 --self-tokens 8 --depths 1,2 --steps 2 --batch 2 --sequence 32 --device wasm`;

const lines = (begin: string) => {
  const name = readdirSync(heads).find((file) => file.startsWith(`${begin}-`))!;
  return readFileSync(`${heads}/${name}`, "utf8").trim().split("\n");
};

describe("text of the model's own", () => {
  it("trains heads without a text, says what they learned and what comes next", async () => {
    const { out } = await succeed(words`${train} --out ${heads}`);
    expect(out).toContain("agreement with the full model on held-out documents: depth 1 ");
    expect(out).toMatch(/\nverdict: /);
    expect(out).toContain(`next:\n  npx early-exits calibrate ${model} --heads ${heads} --self --agreement .9`);
    expect(parseJson(readFileSync(`${heads}/training.json`, "utf8"))).toMatchObject({
      options: { self: 24, selfTemperature: 0, steps: 2 },
    });
    const prompts = lines("prompts");
    expect(prompts.every((line) => line.startsWith('{"messages":[{"role":"user","content":"'))).toBe(true);
    expect(new Set(prompts).size).toBe(24);
    expect(existsSync(`${heads}/checkpoint`)).toBe(false); // and with it the recorded states
  });

  it("calibrates without a text, on other prompts, which another level uses again", async () => {
    const own = words`calibrate ${model} --heads ${heads} --device wasm --self`;
    const { out, err } = await succeed(words`${own} 20 --delta .2 --agreement .3 --out ${folder.path("policy.json")}`);
    expect(err).toContain("sample 20/20");
    expect(out).toContain("the documents are the model's own");
    expect(out).toMatch(/\nverdict: certified, .*\nnext:\n {2}\S/);
    // timed on one thread
    expect(err.match(/^device: /gm)).toHaveLength(Math.min(2, availableParallelism()));
    const known = new Set(lines("prompts"));
    const held = lines("held-prompts");
    expect(held).toHaveLength(20);
    expect(held.filter((line) => known.has(line)).length).toBeLessThan(5);
    expect((await succeed(words`${own} 20 --delta .2 --agreement .4`)).err).not.toContain("sample ");
    expect((await succeed(words`${own} --agreement .99 --delta .6`)).err).toContain("sample 204/204");
  });
});

describe("exits that come with the package", () => {
  it("run by their level, on the model that is named", async () => {
    const { out, err } = await succeed(words`
      generate sotu-12 --shipped .9 --prompt ${"The people of the United States"} --max-new-tokens 12`);
    expect(out).toMatch(/^The people of the United States, and/);
    expect(err).toContain("promise: certified to keep 90 % of tokens");
    expect(err).toContain("next:\n  npx early-exits serve sotu-12 --shipped 0.9");
    expect(err.match(/^device: /gm)).toHaveLength(1);
    expect((await succeed(words`plan sotu-12`)).out).toMatch(
      /shipped exits, .* certified at 0\.99, 0\.95, 0\.9, 0\.8: .* --shipped 0\.95/,
    );
    const task = folder.path("task.jsonl");
    writeFileSync(task, '{"context": "The people of the United", "continuation": "States"}');
    const scored = await succeed(words`eval sotu-12 --shipped .9 --task ${task} --kind lambada --resamples 9`);
    expect(scored.out).toMatch(/^ +shipped .* of 12$/m);
  });

  it("run on sampled text by the certificate for it", async () => {
    const { err } = await succeed(words`
      generate sotu-12 --shipped .9 --temperature .8 --top-p .95 --prompt x --max-new-tokens 4`);
    expect(err).toMatch(
      /promise: certified to keep 90 % of tokens against the float32 model \(checkpoint \w{8}…\), for text by temp/,
    );
    expect(err).toContain("next:\n  npx early-exits serve sotu-12 --shipped 0.9 --temperature 0.8 --top-p 0.95");
  });

  it("are refused at other levels and for other models, with what to do", async () => {
    const line = words`--prompt x --max-new-tokens 2`;
    expect((await cli(words`generate sotu-12 --shipped .9 --temperature .7 ${line}`)).err).toContain(
      "choose one of greedy: 0.99, 0.95, 0.9, 0.8; temperature 0.8, topP 0.95: 0.95, 0.9, 0.8",
    );
    expect((await cli(words`generate ${model} --shipped .9 ${line}`)).err).toContain(
      `early-exits train ${model} --self`,
    );
    await refused(words`generate ${model} --shipped .9 --heads ${heads} ${line}`, 2);
  });
});

it("a prompt comes from stdin, and no tokens are asked for", async () => {
  const { out, err } = await succeed(words`generate sotu-12 --max-new-tokens 0`, { input: "The people\n" });
  expect(out).toBe("The people\n");
  expect(err).toContain("no tokens after a prompt of");
  expect(`${out}${err}`).not.toContain("NaN");
});
