/**
 * Workers that run the same kernels on the same memory. A kernel's items (panels, heads, rows) are cut into chunks,
 * which the caller and the workers take until none is left, so a suspended thread delays at most the chunk that it
 * holds. One thread computes an item, as in the single-threaded call: bits do not depend on threads. After its last
 * chunk a worker looks at a shared word for a while, then sleeps (worker-script.ts).
 *
 * The caller never blocks forever: if a chunk is not finished after `PATIENCE_MS` of the caller's own running time, the
 * worker counts as lost.
 */
import { DeviceError } from "../../errors.js";
import type { Host, HostWorker } from "../host.js";
import { Guard } from "./guard.js";
import { SCRATCH_BYTES } from "./kernels/constants.js";
import { type NamedKernels, PARAMETERS } from "./kernels/kernels.generated.js";
import type { WasmMemory } from "./memory.js";
import { CHUNK_BITS, CONTROL, workerScript, type WorkerStart } from "./worker-script.js";

const SHARED = [
  "linear",
  "packBlocks",
  "coarseBounds",
  "linearIntegers",
  "matmul",
  "cacheAttention",
  "attention",
  "attentionBackward",
  "softmax",
  "softmaxBackward",
  "logSoftmax",
  "logSoftmaxBackward",
  "rowStats",
  "rowArgmax",
  "norm",
  "crossEntropy",
  "crossEntropyBackward",
  "kl",
  "klBackward",
  "swiglu",
  "swigluBackward",
] as const satisfies readonly (keyof typeof PARAMETERS)[];
export type SharedKernel = (typeof SHARED)[number];

const OPS = Object.fromEntries(SHARED.map((name, op) => [name, op])) as Readonly<Record<SharedKernel, number>>;

type Arguments = Readonly<Record<string, number>>;
/** On items [begin, end). */
export type RangedKernel = (given: Arguments, begin: number, end: number) => void;

export interface Work {
  readonly items: number;
  /** Estimated microseconds of all items on one thread. */
  readonly us: number;
  /** Fewest items worth a call. @default 1 */
  readonly least?: number | undefined;
}

function namesOf(kernel: SharedKernel): readonly string[] {
  return PARAMETERS[kernel];
}

/** Of the `items` that several calls have together, each as many. */
interface Range {
  readonly items: number;
  readonly begin: number;
  readonly end: number;
}

function runItems(kernel: RangedKernel, calls: readonly Arguments[], { items, begin, end }: Range): void {
  const perCall = items / calls.length;
  for (let at = begin; at < end;) {
    const call = Math.floor(at / perCall);
    const first = call * perCall;
    const last = Math.min(end, first + perCall);
    kernel(calls[call]!, at - first, last - first);
    at = last;
  }
}

/** With fewer microseconds of work, telling a worker costs more than it saves. */
const WORTH_SHARING_US = 12;
/** No chunk is shorter, unless there are few items. */
const CHUNK_US = 8;
/** Microseconds of a short kernel, at most. */
const SHORT_US = 1000;
/**
 * If there is enough work. A short kernel mostly waits for memory, which is fastest for long reads; a long kernel's
 * threads should end together.
 */
const CHUNKS_PER_THREAD = { short: 2, long: 8 } as const;
/** No chunk is longer, unless a single item is. */
const LONG_CHUNK_US = 20_000;
const MAX_CHUNKS = 2 ** CHUNK_BITS - 1;
/** A worker's looks at the ticket before it sleeps: some 300 µs, longer than the gap between two kernels of a step. */
const SPINS = 60_000;
/** The caller's looks at `done` between two at the clock. */
const LOOKS = 64;
/** Milliseconds of looking before the caller sleeps (if the host allows that). */
const LOOK_MS = 0.1;
const PATIENCE_MS = 10_000;

/** A kernel's items cut into chunks of `size`. */
interface Cut {
  readonly items: number;
  readonly size: number;
  readonly workStride: number;
}

/** The reason why a worker stopped, once one has. */
interface State {
  lost: Error | undefined;
}

export class Threads {
  readonly count: number;
  readonly #words: Int32Array;
  readonly #values: Float64Array;
  readonly #kernels: readonly RangedKernel[];
  readonly #workers: readonly HostWorker[];
  readonly #now: () => number;
  readonly #guard: Guard;
  readonly #mayWait: boolean;
  #generation = 0;
  readonly #state: State;

  private constructor(
    words: Int32Array,
    values: Float64Array,
    wasm: NamedKernels,
    workers: readonly HostWorker[],
    state: State,
    now: () => number,
  ) {
    this.#state = state;
    this.count = workers.length + 1;
    this.#words = words;
    this.#values = values;
    this.#kernels = SHARED.map((name) => wasm[name] as RangedKernel);
    this.#workers = workers;
    this.#now = now;
    this.#guard = new Guard(SHARED.length);
    this.#mayWait = mayWait(words);
  }

  /** Starts `count` - 1 workers. Throws a DeviceError ("wasm-worker-lost") if one fails to start. */
  static async start(
    count: number,
    { module, way }: { readonly module: WebAssembly.Module; readonly way: number },
    memory: WasmMemory,
    wasm: NamedKernels,
    host: Required<Pick<Host, "now" | "spawnWorker">>,
  ): Promise<Threads> {
    const control = memory.allocate(CONTROL.bytes);
    memory.i32.fill(0, control / 4, (control + CONTROL.bytes) / 4);
    // These views stay valid when the memory grows: the block is in its initial part.
    const words = new Int32Array(memory.memory.buffer, control, CONTROL.values / 4);
    const values = new Float64Array(
      memory.memory.buffer,
      control + CONTROL.values,
      (CONTROL.bytes - CONTROL.values) / 8,
    );
    const workers: HostWorker[] = [];
    const state: State = { lost: undefined };
    try {
      await Promise.all(
        Array.from(
          { length: count - 1 },
          (_, i) =>
            new Promise<void>((ready, fail) => {
              const worker = host.spawnWorker(
                workerScript,
                () => ready(),
                (reason) => {
                  fail(reason);
                  state.lost ??= reason;
                },
              );
              workers.push(worker);
              worker.post({
                module,
                memory: memory.memory,
                control,
                thread: i + 1,
                scratch: memory.allocate(SCRATCH_BYTES),
                way,
                kernels: SHARED.map((name) => [name, namesOf(name).indexOf("work")]),
                spins: SPINS,
              } satisfies WorkerStart);
            }),
        ),
      );
    } catch (cause) {
      await Promise.all(workers.map((worker) => worker.terminate()));
      throw lost(cause);
    }
    return new Threads(words, values, wasm, workers, state, () => host.now());
  }

  check(): void {
    if (this.#state.lost !== undefined) throw lost(this.#state.lost);
  }

  static mostCalls(name: SharedKernel): number {
    return Math.floor((CONTROL.bytes - CONTROL.values) / 8 / namesOf(name).length);
  }

  /**
   * Runs calls of one kernel with as many items each; `work` is that of all. `workStride`: bytes between two threads'
   * working memories.
   */
  run(name: SharedKernel, calls: readonly Arguments[], { items, us, least }: Work, workStride: number): void {
    const op = OPS[name];
    const kernel = this.#kernels[op]!;
    const size = chunkSize({ items, us, least }, this.count);
    const shared = us >= WORTH_SHARING_US && size < items;
    if (!shared) {
      runItems(kernel, calls, { items, begin: 0, end: items });
      return;
    }
    const started = this.#now();
    if (this.#guard.allows(op, us)) {
      this.#share(name, calls, { items, size, workStride });
      this.#guard.helped(this.#now() - started);
    } else {
      runItems(kernel, calls, { items, begin: 0, end: items });
      this.#guard.alone(this.#now() - started);
    }
  }

  async stop(): Promise<void> {
    await Promise.all(this.#workers.map((worker) => worker.terminate()));
  }

  #share(name: SharedKernel, calls: readonly Arguments[], { items, size, workStride }: Cut): void {
    const words = this.#words;
    const values = this.#values;
    const names = namesOf(name);
    const op = OPS[name];
    const kernel = this.#kernels[op]!;
    const chunks = Math.ceil(items / size);
    words[CONTROL.op] = op;
    words[CONTROL.argumentCount] = names.length;
    words[CONTROL.chunks] = chunks;
    words[CONTROL.items] = items;
    words[CONTROL.itemsPerChunk] = size;
    words[CONTROL.workStride] = workStride;
    words[CONTROL.itemsPerCall] = items / calls.length;
    let at = 0;
    for (const given of calls) {
      for (let i = 0; i < names.length; i++) values[at++] = given[names[i]!]!;
    }
    Atomics.store(words, CONTROL.done, 0);
    this.#generation++;
    Atomics.store(words, CONTROL.ticket, (this.#generation << CHUNK_BITS) | chunks);
    if (Atomics.load(words, CONTROL.sleepers) > 0) Atomics.notify(words, CONTROL.ticket);

    let others = chunks;
    for (;;) {
      const ticket = Atomics.load(words, CONTROL.ticket);
      const left = ticket & MAX_CHUNKS;
      if (left === 0) break;
      if (Atomics.compareExchange(words, CONTROL.ticket, ticket, ticket - 1) !== ticket) continue;
      others--;
      const begin = (chunks - left) * size;
      runItems(kernel, calls, { items, begin, end: Math.min(items, begin + size) });
    }
    this.#awaitOthers(others);
    if (Atomics.load(words, CONTROL.failed) !== 0) {
      this.#state.lost ??= new Error("a kernel threw in a worker");
      throw lost(this.#state.lost);
    }
  }

  /** Waits for the workers' `chunks`. Looking is fastest; if they are late, sleeping frees the processor. */
  #awaitOthers(chunks: number): void {
    const words = this.#words;
    let last = NaN;
    let waited = 0;
    for (;;) {
      for (let look = 0; look < LOOKS; look++) {
        if (Atomics.load(words, CONTROL.done) === chunks) return;
      }
      const now = this.#now();
      // A suspended machine is not a lost worker, so a single pause counts little.
      if (!Number.isNaN(last)) waited += Math.min(now - last, 100);
      last = now;
      if (waited > PATIENCE_MS) {
        this.#state.lost = new Error(`a worker did not finish its part of a kernel in ${PATIENCE_MS / 1000} s`);
        throw lost(this.#state.lost);
      }
      if (waited < LOOK_MS || !this.#mayWait) continue;
      Atomics.store(words, CONTROL.waiting, 1);
      const done = Atomics.load(words, CONTROL.done);
      if (done !== chunks) Atomics.wait(words, CONTROL.done, done, 1);
      Atomics.store(words, CONTROL.waiting, 0);
    }
  }
}

/**
 * All but the last of the same size. The number of chunks is a multiple of the threads': of five equal chunks, one of
 * two threads would take three.
 */
export function chunkSize({ items, us, least = 1 }: Work, threads: number): number {
  const share = Math.max(
    CHUNK_US / us,
    Math.min(LONG_CHUNK_US / us, 1 / (CHUNKS_PER_THREAD[us < SHORT_US ? "short" : "long"] * threads)),
  );
  const chunks = Math.ceil(items / Math.max(least, Math.ceil(items / MAX_CHUNKS), Math.ceil(items * share)));
  const even = Math.max(Math.min(chunks, threads), chunks - (chunks % threads));
  return Math.ceil(items / Math.max(1, even));
}

/** A browser's main thread may not sleep. */
function mayWait(words: Int32Array): boolean {
  try {
    Atomics.wait(words, CONTROL.done, 1, 0);
    return true;
  } catch {
    return false;
  }
}

function lost(cause: unknown): DeviceError {
  const reason = cause instanceof Error ? cause.message : String(cause);
  return new DeviceError(
    "wasm-worker-lost",
    `wasm: a worker thread stopped (${reason}), so results may be missing; create a new device`,
    { reason },
    { cause },
  );
}
