/**
 * Requests against a device of fixed memory: sequences that stay open, sequences that close, and texts with room for a
 * random number of tokens. After each request, the memory in use is that of what lives; a request that is refused
 * needed more than was left, leaves nothing and succeeds once the device is empty, if it fits at all; texts are those
 * of a fresh device.
 */
import { type Device, EarlyExitError, generate, loadModel, type Model } from "early-exits";
import { memorySource, Sequence } from "early-exits/model";
import { createDevice } from "early-exits/node";
import { createRng } from "early-exits/tensor";
import { smallCheckpoint } from "../../test/support/models.js";

interface PressureOptions {
  readonly requests: number;
  readonly seed: number;
  /** Bytes of the device. @default 24 MiB */
  readonly memoryLimit?: number;
}

export interface PressureCounts {
  readonly requests: number;
  readonly opened: number;
  readonly closed: number;
  readonly texts: number;
  /** Requests for which the device had no room at that time. */
  readonly refused: number;
}

const CONTEXT = 2 ** 18;
const config = {
  model_type: "llama",
  vocab_size: 61,
  hidden_size: 24,
  num_hidden_layers: 3,
  num_attention_heads: 4,
  num_key_value_heads: 2,
  intermediate_size: 40,
  max_position_embeddings: CONTEXT,
  tie_word_embeddings: true,
};
const PROMPTS = 20;
/** Tokens of a text; the room for more is reserved and not used. */
const TOKENS = 4;

/** Runs the requests. Throws an Error that names the first one whose outcome was wrong, and the seed. */
export async function pressMemory({
  requests,
  seed,
  memoryLimit = 24 * 2 ** 20,
}: PressureOptions): Promise<PressureCounts> {
  const source = memorySource(await smallCheckpoint(config));
  const device = await createDevice("wasm", { threads: 1, memoryLimit });
  const fresh = await createDevice("wasm", { threads: 1 });
  const model = await loadModel(config, source, { device });
  const rng = createRng(seed);
  const prompts = Array.from({ length: PROMPTS }, (_, i) => Array.from({ length: 1 + 3 * i }, () => rng.integer(61)));
  const expected = await textsOf(await loadModel(config, source, { device: fresh }), prompts);
  const used = usedBy(device);
  const perPosition = bytesPerPosition(model);
  const mostPositions = Math.floor((0.5 * (memoryLimit - used())) / perPosition);
  const tooMany = Math.ceil(memoryLimit / perPosition);
  // The kernels' own rooms grow with prompts and their texts, and stay: from now on they have their sizes.
  await textsOf(model, prompts);
  for (const prompt of prompts) await textOf(model, prompt, mostPositions - prompt.length);

  const live: { readonly sequence: Sequence; readonly bytes: number }[] = [];
  const empty = used();
  const counts = { requests, opened: 0, closed: 0, texts: 0, refused: 0 };
  const closeAll = (): void => {
    for (const { sequence } of live.splice(0)) sequence.dispose();
  };
  for (let request = 0; request < requests; request++) {
    const drawn = Math.ceil(CONTEXT ** rng.uniform());
    // Either it fits an empty device, or it never does.
    const capacity = drawn > mostPositions && drawn < tooMany ? mostPositions : drawn;
    const action = rng.integer(3);
    const where = `request ${request} of seed ${seed} (${["close", "open", "text"][action]!}, ${capacity} positions)`;
    const requireUsed = (): void => {
      const sum = live.reduce((bytes, each) => bytes + each.bytes, empty);
      if (used() !== sum) throw new Error(`${where}: ${used()} bytes are in use, what lives has ${sum}`);
    };
    const requireNeeded = (): void => {
      requireUsed();
      if (capacity * perPosition + used() < memoryLimit / 4) throw new Error(`${where}: refused, and it would fit`);
    };
    if (action === 0 && live.length > 0) {
      live.splice(rng.integer(live.length), 1)[0]!.sequence.dispose();
      counts.closed++;
    } else if (action === 1) {
      const before = used();
      const sequence = attempt(where, () => new Sequence(model, capacity));
      if (sequence !== undefined) {
        live.push({ sequence, bytes: used() - before });
        counts.opened++;
      } else {
        counts.refused++;
        requireNeeded();
        closeAll();
        if (capacity <= mostPositions) new Sequence(model, capacity).dispose();
      }
    } else {
      const prompt = rng.integer(PROMPTS);
      const { length } = prompts[prompt]!;
      const room = Math.max(TOKENS, Math.min(CONTEXT, capacity) - length);
      const run = (): Promise<string> => textOf(model, prompts[prompt]!, room);
      let text = await run().catch((error: unknown) => requireFull(where, error));
      if (text === undefined) {
        counts.refused++;
        requireNeeded();
        closeAll();
        if (capacity <= mostPositions) text = await run();
      }
      if (text !== undefined && text !== expected[prompt]) {
        throw new Error(`${where}: the text is ${text}, on a fresh device it is ${expected[prompt]!}`);
      }
      counts.texts++;
    }
    requireUsed();
  }
  closeAll();
  await device.dispose();
  await fresh.dispose();
  return counts;
}

function usedBy(device: Device): () => number {
  return () => device.memory!().used;
}

/** Bytes of a sequence per position, as this device lays it out. */
function bytesPerPosition(model: Model): number {
  const sequence = new Sequence(model, 4096);
  const { cacheBytes } = sequence;
  sequence.dispose();
  return cacheBytes / 4096;
}

function attempt<T>(where: string, call: () => T): T | undefined {
  try {
    return call();
  } catch (error) {
    requireFull(where, error);
    return undefined;
  }
}

function requireFull(where: string, error: unknown): undefined {
  const full = error instanceof EarlyExitError && error.code === "wasm-memory-full";
  if (!full) throw new Error(`${where}: another error`, { cause: error });
}

async function textsOf(model: Model, prompts: readonly (readonly number[])[]): Promise<string[]> {
  const texts: string[] = [];
  for (const prompt of prompts) texts.push(await textOf(model, prompt, TOKENS));
  return texts;
}

/** The first tokens of a text with room for `maxNewTokens`. */
async function textOf(model: Model, prompt: readonly number[], maxNewTokens: number): Promise<string> {
  const ids: number[] = [];
  for await (const { id } of generate(model, prompt, { maxNewTokens, stopAtEndOfText: false })) {
    ids.push(id);
    if (ids.length === TOKENS) break;
  }
  return ids.join(" ");
}
