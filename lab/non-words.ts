/**
 * Non-words in the text of exits ("troubleshinate"), and whether they come from lists: a head that ranks a list of
 * tokens cannot choose another, so a word may go on with the wrong piece.
 *   npx tsx lab/non-words.ts [--model FILE] [--fixtures FOLDER] [--folder FOLDER] [--level 0.8] [--prompts 160]
 * The policy answers the held-out everyday prompts. A non-word is a word in lower-case letters of at least four that
 * neither the full model's answers nor the fixtures' texts have, and in which a token that left differs from the full
 * model's own after the same text. It may come from a list if at such a token the full model's own is not in the list.
 * Writes non-words.md and non-words.json.
 */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { generate, type Policy } from "early-exits";
import { createDevice, readHeads, readModel } from "early-exits/node";
import { argmax, scope } from "early-exits/tensor";
import { percent } from "./report/format.js";
import { machine } from "./report/machine.js";
import { prose } from "./report/prose.js";
import { toMarkdown, writeReport } from "./report/report.js";
import { reportsFolder } from "./report/script.js";
import { everydayAnswers } from "./pretrained/everyday/prompts.js";
import { readCertificates } from "./pretrained/read-certificates.js";

const MAX_NEW_TOKENS = 144;
/** Letters of a word, at least. */
const SHORTEST = 4;

const { values } = parseArgs({
  options: {
    model: { type: "string" },
    fixtures: { type: "string", default: "../shared/fixtures" },
    folder: { type: "string", default: "models/smollm2-135m-instruct" },
    level: { type: "string", default: "0.8" },
    prompts: { type: "string", default: "160" },
    out: { type: "string", default: reportsFolder },
  },
});
const where = machine();
const file = values.model ?? join(values.fixtures, "models/smollm2-135m-instruct/SmolLM2-135M-Instruct.Q4_1.gguf");
const device = await createDevice("wasm");
const model = await readModel(file, { device, dtype: "int8" });
const heads = await readHeads(join(values.folder, "heads"), model);
const certificates = await readCertificates(join(values.folder, "certificates"));
const policies = certificates.filter(({ agreement }) => agreement === Number(values.level)).map(({ policy }) => policy);
const lists = new Map(heads.heads.map(({ depth, shape }) => [depth, new Set(shape.preview?.tokens)]));
const answers = await everydayAnswers(model.tokenizer, "int8");
const held = answers.filter(({ split }) => split === "held").slice(0, Number(values.prompts));
const known = await knownWords();

const found = [];
for (const policy of policies) found.push({ fill: policy.fill, ...(await countFor(policy)) });
const report = {
  name: "non-words",
  title: "Non-words in the text of exits",
  machine: where,
  data: found,
  tables: [
    {
      title: `SmolLM2-135M-Instruct in int8, certified ${percent(Number(values.level), 0)}`,
      note: prose`Greedy answers of at most ${MAX_NEW_TOKENS} tokens to ${held.length} held-out everyday prompts. A
        non-word is in no answer of the full model and in none of the fixtures' texts, and at one of its tokens that
        left the full model would have gone on otherwise. From a list: there the full model's token is not in the
        head's list of frequent tokens.`,
      columns: ["fill", "words", "non-words", "from a list", "share", "for example"],
      rows: found.map(({ fill, words, nonWords }) => {
        const listed = nonWords.filter(({ fromList }) => fromList);
        return [
          fill,
          String(words),
          String(nonWords.length),
          String(listed.length),
          nonWords.length === 0 ? "" : percent(listed.length / nonWords.length),
          nonWords
            .slice(0, 6)
            .map(({ word }) => word)
            .join(", "),
        ];
      }),
    },
  ],
};
await writeReport(values.out, report);
console.log(toMarkdown(report));
heads.dispose();
model.dispose();
await device.dispose();

interface NonWord {
  readonly word: string;
  readonly fromList: boolean;
}

async function countFor(policy: Policy): Promise<{ readonly words: number; readonly nonWords: NonWord[] }> {
  let words = 0;
  const nonWords: NonWord[] = [];
  for (const [index, { prompt }] of held.entries()) {
    const pieces: { readonly text: string; readonly id: number; readonly depth: number }[] = [];
    const run = generate(heads, prompt, { policy, maxNewTokens: MAX_NEW_TOKENS });
    for await (const { text, id, depth } of run) pieces.push({ text, id, depth });
    const full = await fullTokens(
      prompt,
      pieces.map(({ id }) => id),
    );
    const text = pieces.map((piece) => piece.text).join("");
    for (const match of text.matchAll(/(?<![\p{L}\p{N}'’-])\p{Ll}+(?![\p{L}\p{N}'’-])/gu)) {
      words++;
      const word = match[0];
      if (word.length < SHORTEST || known.has(word)) continue;
      let at = 0;
      const changed = pieces.flatMap(({ text: piece, id, depth }, i) => {
        const [from, to] = [at, (at += piece.length)];
        const within = to > match.index && from < match.index + word.length;
        const left = lists.get(depth);
        return within && left !== undefined && full[i] !== id ? [left.size > 0 && !left.has(full[i]!)] : [];
      });
      if (changed.length > 0) nonWords.push({ word, fromList: changed.includes(true) });
    }
    if ((index + 1) % 20 === 0) console.error(`${policy.fill}: ${index + 1} of ${held.length}`);
  }
  return { words, nonWords };
}

/** The full model's greedy choice at each token of an answer, after the same text. */
async function fullTokens(prompt: readonly number[], answer: readonly number[]): Promise<number[]> {
  const ids = [...prompt, ...answer.slice(0, -1)];
  const logits = scope(() => model.unembed(model.forward(ids).get(model.config.numLayers)!));
  const best = await argmax(logits);
  logits.dispose();
  return best.slice(prompt.length - 1);
}

async function knownWords(): Promise<Set<string>> {
  const names = ["wikitext2_valid.txt", "charlotte_bronte.txt", "tinyshakespeare.txt", "tinystories_clean.jsonl"];
  const texts = await Promise.all(names.map((name) => readFile(join(values.fixtures, "text", name), "utf8")));
  const written = answers.map(({ prompt, answer }) => model.tokenizer.decode([...prompt, ...answer]));
  return new Set([...texts, ...written].flatMap((text) => text.toLowerCase().match(/\p{L}+/gu) ?? []));
}
