/** The process that decodes one way: an untimed pass over the prompts, then timed ones. */
import { checkPolicy, generate } from "early-exits";
import { createDevice, readHeads, readJson, readModel } from "early-exits/node";
import { openExported } from "../../../lab/exported/index.js";
import type { Answer, Job } from "./job.js";

interface Token {
  readonly id: number;
  readonly depth: number;
}

/** Starts a text. */
type Decode = (prompt: readonly number[]) => AsyncIterable<Token>;

async function openOurs({ model: path, heads: folder, policy: file, exits, threads, newTokens }: Job): Promise<Decode> {
  const device = await createDevice("wasm", { threads });
  const model = await readModel(path, { device, dtype: "float32" });
  const options = { maxNewTokens: newTokens, stopAtEndOfText: false };
  if (!exits) return (prompt) => generate(model, prompt, options);
  const heads = await readHeads(folder, model);
  const policy = checkPolicy(await readJson(file));
  return (prompt) => generate(heads, prompt, { ...options, policy });
}

async function openTheirs({ exported, threads, newTokens }: Job): Promise<Decode> {
  const decoder = await openExported(exported, { intraOpNumThreads: threads, interOpNumThreads: 1 });
  return (prompt) => decoder.generate(prompt, { maxNewTokens: newTokens, stopAtEndOfText: false });
}

/** Decodes every prompt once. Milliseconds count from the first token of each to its last. */
async function pass(decode: Decode, prompts: Job["prompts"]) {
  let milliseconds = 0;
  let timed = 0;
  const tokens: Token[] = [];
  for (const prompt of prompts) {
    let first: number | undefined;
    for await (const { id, depth } of decode(prompt)) {
      if (first === undefined) first = performance.now();
      else timed++;
      tokens.push({ id, depth });
    }
    milliseconds += performance.now() - first!;
  }
  return { speed: (1000 * timed) / milliseconds, tokens };
}

const job = JSON.parse(process.argv[2]!) as Job;
const decode = await (job.runtime === "ours" ? openOurs(job) : openTheirs(job));
const { tokens } = await pass(decode, job.prompts);
const speeds: number[] = [];
for (let i = 0; i < job.passes; i++) speeds.push((await pass(decode, job.prompts)).speed);
const answer: Answer = {
  speeds,
  depth: tokens.reduce((sum, { depth }) => sum + depth, 0) / tokens.length,
  ids: tokens.map(({ id }) => id),
};
process.send!(answer, () => process.exit(0));
