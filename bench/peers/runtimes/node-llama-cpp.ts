/**
 * Peer: node-llama-cpp, by its sequence API: greedy tokens through `evaluate` (its generation loop), from raw ids. Uses
 * the prebuilt CPU binary of its npm package, and never builds or downloads. Run as it is fastest here: flash attention
 * and a float16 cache for every weight type.
 */
import { basename } from "node:path";
import type { LlamaModel, Token } from "node-llama-cpp";
import { importPeer, PeerAbsentError, type PeerSession } from "../peer.js";

/** A GGUF file and how to run it. */
export interface LlamaOptions {
  readonly path: string;
  readonly threads: number;
  readonly contextSize: number;
}

interface LoadedLlama {
  readonly model: LlamaModel;
  /** Name of what really runs, for reports. */
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

export async function openLlama({ path, threads, contextSize }: LlamaOptions): Promise<PeerSession> {
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
    async close() {
      await stop();
      await close();
    },
  };
}
