/**
 * Peer: node-llama-cpp, by its sequence API: greedy tokens through `evaluate` (its generation loop), logits through
 * `controlledEvaluate`, both from raw token ids. Uses the prebuilt CPU binary of its npm package, and never builds or
 * downloads. Run as it is fastest here: flash attention and a float16 cache for every weight type. llama.cpp also looks
 * GELU up in a float16 table and rounds activations to suit bf16 and q8_0 weights, so its logits differ by more than
 * float32 rounding (agreement.ts).
 */
import { basename, join } from "node:path";
import type { LlamaModel, Token } from "node-llama-cpp";
import { importPeer, PeerAbsentError, type Job, type PeerSession } from "../peer.js";
import { shape } from "../shape.js";

/** A GGUF file and how to run it. */
export interface LlamaOptions {
  readonly path: string;
  readonly threads: number;
  readonly contextSize: number;
  readonly vocabSize: number;
}

export async function openNodeLlamaCpp({ folder, threads, variant }: Job): Promise<PeerSession> {
  const { contextSize, vocabSize } = shape;
  return openLlama({ path: join(folder, `${variant}.gguf`), threads, contextSize, vocabSize });
}

interface LoadedLlama {
  readonly model: LlamaModel;
  /** What really runs, for reports. */
  readonly info: string;
  close(): Promise<void>;
}

export async function loadLlama(path: string): Promise<LoadedLlama> {
  const { getLlama, LlamaLogLevel } = await importPeer("node-llama-cpp", () => import("node-llama-cpp"));
  const llama = await getLlama({
    gpu: false,
    build: "never",
    skipDownload: true,
    progressLogs: false,
    maxThreads: 0,
    logLevel: LlamaLogLevel.error,
  }).catch((error: unknown) => {
    throw new PeerAbsentError(
      "node-llama-cpp",
      `no prebuilt binary works here (${(error as Error).message})`,
      "see its @node-llama-cpp/* packages for this platform",
      { cause: error },
    );
  });
  return {
    model: await llama.loadModel({ modelPath: path }),
    info:
      `prebuilt CPU binary, llama.cpp ${llama.llamaCppRelease.release}, ${basename(path, ".gguf")} weights, float16 ` +
      "cache, flash attention",
    close: () => llama.dispose(),
  };
}

export async function openLlama({ path, threads, contextSize, vocabSize }: LlamaOptions): Promise<PeerSession> {
  const { model, info, close } = await loadLlama(path);
  const context = await model.createContext({
    threads,
    contextSize,
    batchSize: contextSize,
    sequences: 1,
    flashAttention: true,
  });
  const sequence = context.getSequence();
  let tokens: AsyncGenerator<Token, void, void | Token | Token[]> | undefined;
  let expected: number | undefined;

  const stop = async (): Promise<void> => {
    await tokens?.return();
    tokens = undefined;
  };

  return {
    info,
    async reset() {
      await stop();
      await sequence.clearHistory();
    },
    async advance(ids) {
      // The generator feeds its own last token back; any other ids start a new one.
      const continues = tokens !== undefined && ids.length === 1 && ids[0] === expected;
      if (!continues) {
        await stop();
        tokens = sequence.evaluate(ids as Token[], { temperature: 0, yieldEogToken: true });
      }
      const next = await tokens!.next();
      if (next.done === true) throw new Error("node-llama-cpp: evaluate ended without a token");
      return (expected = next.value);
    },
    async logits(ids) {
      await stop();
      const last = ids.length - 1;
      const outputs = await sequence.controlledEvaluate(
        ids.map((id, i) =>
          i < last ? (id as Token) : [id as Token, { generateNext: { logits: true, options: { temperature: 0 } } }],
        ),
      );
      const values = new Float32Array(vocabSize).fill(NaN);
      for (const [token, value] of outputs[last]!.next.logits!) values[token] = value;
      return values;
    },
    async close() {
      await stop();
      await close();
    },
  };
}
