/**
 * Clients who ask a batcher again and again, each with random prompts, lengths and sampling. A third of the texts is
 * given up: the client stops reading, or its signal aborts. Every text, finished or given up, begins as that of
 * `generate` for the request alone.
 */
import { generate, type Model } from "early-exits";
import { Batcher, type TextRequest } from "early-exits/serve";
import { createRng, type Rng } from "early-exits/tensor";

interface SoakOptions {
  readonly clients: number;
  /** Texts written together. */
  readonly parallel: number;
  readonly seconds: number;
  readonly seed: number;
  /** Called every few seconds. */
  readonly onSample: (sample: MemorySample) => void;
}

/** Memory at a moment, in bytes. */
export interface MemorySample {
  readonly seconds: number;
  readonly resident: number;
  /** JavaScript's, after a collection. */
  readonly heap: number;
  /** In use on the device. */
  readonly device: number;
  readonly texts: number;
}

/** A request and the tokens that it got. */
export interface Asked {
  readonly prompt: readonly number[];
  readonly request: TextRequest;
  readonly ids: readonly number[];
  /** True if the text ended by itself. */
  readonly finished: boolean;
}

interface SoakCounts {
  readonly texts: number;
  readonly finished: number;
  readonly left: number;
  readonly aborted: number;
  /** Errors that no client caused, as text. */
  readonly errors: readonly string[];
  /** Some of the texts, drawn evenly. */
  readonly asked: readonly Asked[];
}

/** Tokens that many prompts begin with, so that they share a prefix. */
const SHARED = 128;
/** Texts that are kept for the comparison: so few that they are all there long before half of the time. */
const KEPT = 500;
const SAMPLE_SECONDS = 5;

class Aborted extends Error {}

/** Lets clients ask for so many seconds. Device and model live on. `collect` runs the garbage collector. */
export async function soak(model: Model, options: SoakOptions, collect: () => void): Promise<SoakCounts> {
  const { clients, parallel, seconds, seed, onSample } = options;
  const { vocabSize } = model.config;
  const batcher = new Batcher(model, { parallel, queueLimit: clients, prefixBytes: 2 ** 25 });
  const started = performance.now();
  const elapsed = (): number => (performance.now() - started) / 1000;
  const counts = { texts: 0, finished: 0, left: 0, aborted: 0 };
  const errors: string[] = [];
  const asked: Asked[] = [];
  const rng = createRng(seed);
  const idsFrom = (from: Rng, length: number): number[] => Array.from({ length }, () => from.integer(vocabSize));
  const shared = idsFrom(rng, SHARED);

  const ask = async (own: Rng): Promise<void> => {
    const prompt = [...shared.slice(0, own.integer(SHARED)), ...idsFrom(own, 1 + own.integer(64))];
    const request = { maxNewTokens: 1 + own.integer(48), temperature: own.integer(2), seed: own.integer(1000) };
    const way = (["stays", "stays", "stays", "stays", "leaves", "aborts"] as const)[own.integer(6)]!;
    const after = own.integer(24);
    const controller = new AbortController();
    const ids: number[] = [];
    let finished = false;
    try {
      const text = batcher.submit(prompt, { ...request, signal: controller.signal });
      if (way === "aborts") {
        setTimeout(() => {
          controller.abort(new Aborted());
        }, 40 * after);
      }
      for await (const { id } of text) {
        ids.push(id);
        if (way === "leaves" && ids.length > after) break;
      }
      finished = way !== "leaves" || ids.length <= after;
      counts[finished ? "finished" : "left"]++;
    } catch (error) {
      if (error instanceof Aborted) counts.aborted++;
      else errors.push(String(error));
    }
    counts.texts++;
    // Each text has the same chance to be kept.
    const place = asked.length < KEPT ? asked.length : rng.integer(counts.texts);
    if (place < KEPT) asked[place] = { prompt, request, ids, finished };
  };
  const client = async (own: Rng): Promise<void> => {
    while (elapsed() < seconds) await ask(own);
  };
  const sample = (): void => {
    collect();
    const { rss, heapUsed } = process.memoryUsage();
    onSample({
      seconds: elapsed(),
      resident: rss,
      heap: heapUsed,
      device: model.device.memory!().used,
      texts: counts.texts,
    });
  };
  const timer = setInterval(sample, 1000 * SAMPLE_SECONDS);
  await Promise.all(Array.from({ length: clients }, (_, i) => client(createRng(seed).fork(`client ${i}`))));
  clearInterval(timer);
  sample();
  await batcher.close();
  return { ...counts, errors, asked };
}

/** True if a text is that of `generate`, or begins like it if it was given up. */
export async function isGenerated(model: Model, { prompt, request, ids, finished }: Asked): Promise<boolean> {
  const alone: number[] = [];
  for await (const { id } of generate(model, prompt, request)) {
    if (!finished && alone.length === ids.length) break;
    alone.push(id);
  }
  return alone.join() === ids.join();
}
