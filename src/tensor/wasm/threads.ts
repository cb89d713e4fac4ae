/**
 * Threads: workers that run the same kernels on the same memory. A kernel's work is a range of items (panels, heads,
 * rows), cut into chunks; the caller and the workers take chunks until none is left, so a thread that the system has
 * put aside costs at most the chunk it holds. Every item is computed by one thread with the instructions of the
 * single-threaded call: the bits do not depend on threads. Workers look at a shared word for a while after their last
 * chunk, then sleep. What passes between threads is in worker-script.ts.
 *
 * The caller never blocks for ever: if a chunk is not finished in `PATIENCE_MS` of its own running time, the worker
 * counts as lost.
 */
import { DeviceError } from "../../errors.js";
import type { Host, HostWorker } from "../host.js";
import { Guard } from "./guard.js";
import type { KernelExports } from "./kernels/index.js";
import type { WasmMemory } from "./memory.js";
import { CHUNK_BITS, CONTROL, workerScript, type WorkerStart } from "./worker-script.js";

/**
 * Kernels that can be shared, with the place of their working memory among their arguments, or -1. Their last two
 * arguments are a range.
 */
const SHARED = {
  linear: 9,
  linearInt8: 9,
  matmul: 8,
  cacheAttention: 12,
  attention: 8,
  attentionBackward: 11,
  softmax: -1,
  softmaxBackward: -1,
  logSoftmax: -1,
  logSoftmaxBackward: -1,
  rowStats: -1,
  norm: -1,
  crossEntropy: -1,
  crossEntropyBackward: -1,
  kl: -1,
  klBackward: 6,
  swiglu: -1,
  swigluBackward: -1,
} as const satisfies Partial<Record<keyof KernelExports, number>>;
export type SharedKernel = keyof typeof SHARED;

const NAMES = Object.keys(SHARED) as SharedKernel[];
const OPS = Object.fromEntries(NAMES.map((name, op) => [name, op])) as Readonly<Record<SharedKernel, number>>;

/** Below this many microseconds of work, telling a worker costs more than it brings. */
const WORTH_SHARING_US = 12;
/** No chunk is smaller, unless items are few. */
const CHUNK_US = 8;
/** A kernel is short below this many microseconds. */
const SHORT_US = 1000;
/**
 * Chunks per thread, where there is work enough. A short kernel mostly waits for memory, which gives most to who reads
 * on and on; the threads of a long one should end together.
 */
const CHUNKS_PER_THREAD = { short: 2, long: 8 } as const;
/** Nor larger, unless items are. */
const LONG_CHUNK_US = 20_000;
const MAX_CHUNKS = 2 ** CHUNK_BITS - 1;
/**
 * A worker's looks at the ticket before it sleeps: some 300 µs, more than lies between two kernels of a decoding step.
 */
const SPINS = 60_000;
/** The caller's looks at `done` between two looks at the clock. */
const LOOKS = 64;
/** After so many milliseconds of looking, the caller sleeps (where the host allows that) and is woken. */
const LOOK_MS = 0.1;
const PATIENCE_MS = 10_000;
/** See tiles.as.ts; one per thread. */
export const SCRATCH_BYTES = 4096;

type Kernel = (...given: number[]) => void;

/** Why a worker stopped, once one has. */
interface State {
  lost: Error | undefined;
}

export class Threads {
  readonly count: number;
  readonly #words: Int32Array;
  readonly #values: Float64Array;
  readonly #kernels: readonly Kernel[];
  readonly #workers: readonly HostWorker[];
  readonly #now: () => number;
  readonly #guard: Guard;
  readonly #mayWait: boolean;
  #generation = 0;
  readonly #state: State;

  private constructor(
    words: Int32Array,
    values: Float64Array,
    wasm: KernelExports,
    workers: readonly HostWorker[],
    state: State,
    now: () => number,
  ) {
    this.#state = state;
    this.count = workers.length + 1;
    this.#words = words;
    this.#values = values;
    this.#kernels = NAMES.map((name) => wasm[name]);
    this.#workers = workers;
    this.#now = now;
    this.#guard = new Guard(NAMES.length);
    this.#mayWait = mayWait(words);
  }

  /**
   * Starts `count` - 1 workers; resolves once all are ready. Throws a DeviceError ("wasm-worker-lost") if one fails to
   * start.
   */
  static async start(
    count: number,
    module: WebAssembly.Module,
    memory: WasmMemory,
    wasm: KernelExports,
    host: Required<Pick<Host, "now" | "spawnWorker">>,
  ): Promise<Threads> {
    const control = memory.allocate(CONTROL.bytes);
    memory.i32.fill(0, control / 4, (control + CONTROL.bytes) / 4);
    // These views stay valid when the memory grows: the block lies in what it had at first.
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
                kernels: NAMES.map((name) => [name, SHARED[name]]),
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

  /** Throws a DeviceError ("wasm-worker-lost") once a worker has stopped. */
  check(): void {
    if (this.#state.lost !== undefined) throw lost(this.#state.lost);
  }

  /**
   * Runs a kernel. `given` are its arguments, the last two its range, 0 and the number of items; `us` is an estimate of
   * its microseconds on one thread, `workStride` the bytes between the working memories of two threads, `least` the
   * fewest items worth a call of their own.
   */
  run(name: SharedKernel, given: number[], us: number, workStride: number, least: number): void {
    const op = OPS[name];
    const items = given.at(-1)!;
    const share = Math.max(
      CHUNK_US / us,
      Math.min(LONG_CHUNK_US / us, 1 / (CHUNKS_PER_THREAD[us < SHORT_US ? "short" : "long"] * this.count)),
    );
    const size = Math.max(least, Math.ceil(items / MAX_CHUNKS), Math.ceil(items * share));
    const shared = us >= WORTH_SHARING_US && size < items;
    if (!shared) {
      this.#kernels[op]!(...given);
      return;
    }
    const started = this.#now();
    if (this.#guard.allows(op, us)) {
      this.#share(op, given, items, size, workStride);
      this.#guard.helped(this.#now() - started);
    } else {
      this.#kernels[op]!(...given);
      this.#guard.alone(this.#now() - started);
    }
  }

  /** Ends the workers. */
  async stop(): Promise<void> {
    await Promise.all(this.#workers.map((worker) => worker.terminate()));
  }

  #share(op: number, given: number[], items: number, size: number, workStride: number): void {
    const words = this.#words;
    const kernel = this.#kernels[op]!;
    const chunks = Math.ceil(items / size);
    words[CONTROL.op] = op;
    words[CONTROL.argumentCount] = given.length - 2;
    words[CONTROL.chunks] = chunks;
    words[CONTROL.items] = items;
    words[CONTROL.itemsPerChunk] = size;
    words[CONTROL.workStride] = workStride;
    this.#values.set(given);
    Atomics.store(words, CONTROL.done, 0);
    this.#generation++;
    Atomics.store(words, CONTROL.ticket, (this.#generation << CHUNK_BITS) | chunks);
    if (Atomics.load(words, CONTROL.sleepers) > 0) Atomics.notify(words, CONTROL.ticket);

    const at = given.length - 2;
    let others = chunks;
    for (;;) {
      const ticket = Atomics.load(words, CONTROL.ticket);
      const left = ticket & MAX_CHUNKS;
      if (left === 0) break;
      if (Atomics.compareExchange(words, CONTROL.ticket, ticket, ticket - 1) !== ticket) continue;
      others--;
      given[at] = (chunks - left) * size;
      given[at + 1] = Math.min(items, given[at] + size);
      kernel(...given);
    }
    this.#awaitOthers(others);
    if (Atomics.load(words, CONTROL.failed) !== 0) {
      this.#state.lost ??= new Error("a kernel threw in a worker");
      throw lost(this.#state.lost);
    }
  }

  /**
   * Until the workers have finished `chunks`. Looking is quickest; if they are late, sleeping lets them have the
   * processor.
   */
  #awaitOthers(chunks: number): void {
    const words = this.#words;
    let last = NaN;
    let waited = 0;
    for (;;) {
      for (let look = 0; look < LOOKS; look++) {
        if (Atomics.load(words, CONTROL.done) === chunks) return;
      }
      const now = this.#now();
      // A suspended machine is not a lost worker: no single pause counts for much.
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
