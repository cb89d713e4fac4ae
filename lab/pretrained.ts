/**
 * Exits for a pretrained chat model that nobody trained for them: `npm run pretrained -- --stage STAGE`
 *   answers    the model's greedy answers to held-out and training prompts, and sampled ones to the training prompts
 * Texts come from the fixtures beside the repository, so what is derived from them stays in models/NAME/.kept, which is
 * not committed. Every stage continues where it was stopped.
 */
import { mkdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { createDevice, readModel } from "early-exits/node";
import { type ChatPrompt, chatPrompts, writeAnswers } from "./pretrained/index.js";

/** Answers are cut here, as those in the fixtures are. */
const MAX_NEW_TOKENS = 144;
const BATCH_SIZE = 24;
/** Greedy answers are written in the smallest dtype that keeps float32's tokens, samples in the fastest. */
const GREEDY_DTYPE = "bfloat16";
const SAMPLED_DTYPE = "int8";
/** Temperature of the sampled answers, which only train. */
const TEMPERATURE = 0.8;

const { values } = parseArgs({
  options: {
    stage: { type: "string" },
    fixtures: { type: "string", default: "../shared/fixtures" },
    model: { type: "string" },
    folder: { type: "string", default: "models/smollm2-135m-instruct" },
    threads: { type: "string", default: "2" },
    samples: { type: "string", default: "2" },
  },
});
const chatFolder = join(values.fixtures, "models/smollm2-135m-instruct");
const file = values.model ?? join(chatFolder, "SmolLM2-135M-Instruct.Q4_1.gguf");
const kept = join(values.folder, ".kept");

async function openModel(dtype: "bfloat16" | "int8") {
  const device = await createDevice("wasm", { threads: Number(values.threads) });
  return readModel(file, { device, dtype });
}

/** Prompts, with those items in training that occur in the fixture's own conversations. */
async function prompts(): Promise<ChatPrompt[]> {
  const { tokenizer } = await openModel("int8");
  const lines = (await readFile(join(chatFolder, "chat-answers.jsonl"), "utf8"))
    .split("\n")
    .filter((line) => line !== "");
  const known = lines.map((line) => tokenizer.decode((JSON.parse(line) as { prompt: number[] }).prompt));
  return chatPrompts(values.fixtures, known);
}

async function answers(): Promise<void> {
  const all = await prompts();
  const path = join(kept, "answers.jsonl");
  const write = async (dtype: "bfloat16" | "int8", asked: ChatPrompt[], temperature: number, seed: number) => {
    const started = performance.now();
    await writeAnswers(await openModel(dtype), asked, path, {
      temperature,
      seed,
      maxNewTokens: MAX_NEW_TOKENS,
      batchSize: BATCH_SIZE,
      onProgress: (count, tokens) => {
        const speed = (1000 * tokens) / (performance.now() - started);
        console.error(
          `${dtype} at ${temperature}: ${count} of ${asked.length}, ${tokens} tokens, ${speed.toFixed(0)}/s`,
        );
      },
    });
  };
  const training = all.filter(({ split }) => split === "train");
  await write(
    GREEDY_DTYPE,
    all.filter(({ split }) => split !== "train"),
    0,
    0,
  );
  await write(SAMPLED_DTYPE, training, 0, 0);
  for (let sample = 1; sample <= Number(values.samples); sample++) {
    await write(SAMPLED_DTYPE, training, TEMPERATURE, sample);
  }
}

const stages = { answers } as const;
const stage = stages[values.stage as keyof typeof stages] as (() => Promise<void>) | undefined;
if (stage === undefined) {
  throw new Error(`--stage ${values.stage ?? "(none)"}: choose one of ${Object.keys(stages).join(", ")}`);
}
await mkdir(kept, { recursive: true });
await stage();
process.exit(0);
