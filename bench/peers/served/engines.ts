/** A model that answers several clients together: by this library's batcher, or by node-llama-cpp's sequences. */
import type { LlamaContextSequence, Token } from "node-llama-cpp";
import { createDevice, readModel } from "early-exits/node";
import { Batcher } from "early-exits/serve";
import type { ModelDtype } from "early-exits/model";
import { loadLlama } from "../runtimes/node-llama-cpp.js";
import { ANSWER, CONTEXT, type ServedJob } from "./protocol.js";

/** Answers to as many clients as it was opened for. */
export interface Engine {
  /** Name of what really runs, for the report. */
  readonly info: string;
  /** The greedy answers to one prompt for each client, each a stream of at least ANSWER tokens. */
  answer(prompts: readonly (readonly number[])[]): readonly AsyncIterable<unknown>[];
  /** Forgets the texts. */
  reset(): Promise<void>;
  close(): Promise<void>;
}

/** Opens engines for numbers of clients, on one loaded model. */
export type OpenEngine = (clients: number) => Promise<Engine>;

export async function loadOurs({ path, type, threads }: ServedJob): Promise<OpenEngine> {
  const device = await createDevice("wasm", { threads });
  const model = await readModel(path, { device, dtype: type as ModelDtype });
  return (clients) => {
    const batcher = new Batcher(model, { parallel: clients, prefixBytes: 0 });
    return Promise.resolve({
      info: device.info.description,
      answer: (prompts) =>
        prompts.map((prompt) => batcher.submit(prompt, { maxNewTokens: ANSWER, stopAtEndOfText: false })),
      reset: () => Promise.resolve(),
      close: () => batcher.close(),
    });
  };
}

export async function loadPeer({ path, threads }: ServedJob): Promise<OpenEngine> {
  const { model, info } = await loadLlama(path);
  return async (clients) => {
    const context = await model.createContext({
      threads,
      contextSize: CONTEXT,
      batchSize: 512,
      sequences: clients,
      flashAttention: true,
    });
    const sequences: LlamaContextSequence[] = Array.from({ length: clients }, () => context.getSequence());
    return {
      info,
      answer: (prompts) =>
        prompts.map((prompt, i) => sequences[i]!.evaluate(prompt as Token[], { temperature: 0, yieldEogToken: true })),
      async reset() {
        for (const sequence of sequences) await sequence.clearHistory();
      },
      close: () => context.dispose(),
    };
  };
}
