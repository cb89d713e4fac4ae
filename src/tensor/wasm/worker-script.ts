/**
 * The worker's side of threads.ts: the block of words that threads share, and a worker's script. The script is text, so
 * that no file is needed beside the code; it is a Web Worker's (`onmessage`, `postMessage`), which `Host.spawnWorker`
 * must imitate.
 */

/**
 * Words (int32) of the control block; words that different threads write lie in different cache lines.
 *   ticket    generation << 10 | chunks that nobody has taken yet
 *   done      chunks of this generation that workers have finished
 *   sleepers  workers that wait for the ticket to change, and need waking
 *   waiting   1 while the caller sleeps until `done` changes
 *   failed    1 once a worker's kernel has thrown
 * A thread takes a chunk by a compare-and-exchange that subtracts 1 from the ticket. It fails if the generation has
 * changed, so a thread that read stale arguments can never use them. The words from `op` on are constant during a
 * generation: kernel, number of arguments, number of chunks, number of items, items per chunk, bytes between the
 * working memories of two threads, items per call. A generation is one call of the kernel or several, whose items are
 * numbered through. The arguments of all calls, one after another, are float64, at byte `values`.
 */
export const CONTROL = {
  ticket: 0,
  done: 32,
  sleepers: 64,
  waiting: 96,
  failed: 128,
  op: 160,
  argumentCount: 161,
  chunks: 162,
  items: 163,
  itemsPerChunk: 164,
  workStride: 165,
  itemsPerCall: 166,
  values: 768,
  bytes: 768 + 8 * 2048,
} as const;

/** Low bits of the ticket, which count chunks. */
export const CHUNK_BITS = 10;

export interface WorkerStart {
  readonly module: WebAssembly.Module;
  readonly memory: WebAssembly.Memory;
  readonly control: number;
  /** 1, 2, …; the caller is thread 0. */
  readonly thread: number;
  readonly scratch: number;
  readonly way: number;
  /** By number, each with the index of its working memory among its arguments, or -1. */
  readonly kernels: readonly (readonly [name: string, workAt: number])[];
  /** Looks at the ticket before going to sleep. */
  readonly spins: number;
}

/**
 * Answers "ready", then takes chunks until it is terminated. An idle worker sleeps in `Atomics.wait` and never returns
 * to its event loop.
 */
export const workerScript = `"use strict";
onmessage = ({ data: { module, memory, control, thread, scratch, way, kernels, spins } }) => {
  const { exports } = new WebAssembly.Instance(module, { env: { memory } });
  exports.setScratch(scratch);
  exports.setWay(way);
  const words = new Int32Array(memory.buffer, control, ${CONTROL.values / 4});
  const values = new Float64Array(memory.buffer, control + ${CONTROL.values}, ${(CONTROL.bytes - CONTROL.values) / 8});
  const table = kernels.map(([name, workAt]) => ({ run: exports[name], workAt }));

  const serve = () => {
    for (let looks = 0; ;) {
      const ticket = Atomics.load(words, ${CONTROL.ticket});
      const left = ticket & ${2 ** CHUNK_BITS - 1};
      if (left === 0) {
        if (++looks < spins) continue;
        Atomics.add(words, ${CONTROL.sleepers}, 1);
        Atomics.wait(words, ${CONTROL.ticket}, ticket);
        Atomics.sub(words, ${CONTROL.sleepers}, 1);
        looks = 0;
        continue;
      }
      looks = 0;
      take(ticket, left);
    }
  };

  // The words are read before the chunk is taken: if it can be taken, they still belonged to this generation. The
  // arguments are read afterwards, while the caller waits for the chunk.
  const take = (ticket, left) => {
    const kernel = table[words[${CONTROL.op}]];
    const chunks = words[${CONTROL.chunks}];
    const items = words[${CONTROL.items}];
    const size = words[${CONTROL.itemsPerChunk}];
    const count = words[${CONTROL.argumentCount}];
    const perCall = words[${CONTROL.itemsPerCall}];
    const ownWork = thread * words[${CONTROL.workStride}];
    while (left > 0) {
      const seen = Atomics.compareExchange(words, ${CONTROL.ticket}, ticket, ticket - 1);
      if (seen >> ${CHUNK_BITS} !== ticket >> ${CHUNK_BITS}) return;
      if (seen !== ticket) {
        ticket = seen;
        left = ticket & ${2 ** CHUNK_BITS - 1};
        continue;
      }
      let begin = (chunks - left) * size;
      const end = Math.min(items, begin + size);
      try {
        while (begin < end) {
          const call = Math.floor(begin / perCall);
          const first = call * perCall;
          const given = Array.from(values.subarray(call * count, call * count + count));
          if (kernel.workAt >= 0) given[kernel.workAt] += ownWork;
          const last = Math.min(end, first + perCall);
          kernel.run(...given, begin - first, last - first);
          begin = last;
        }
      } catch (error) {
        Atomics.store(words, ${CONTROL.failed}, 1);
        throw error;
      } finally {
        Atomics.add(words, ${CONTROL.done}, 1);
        if (Atomics.load(words, ${CONTROL.waiting}) !== 0) Atomics.notify(words, ${CONTROL.done});
      }
      ticket = Atomics.load(words, ${CONTROL.ticket});
      if (ticket >> ${CHUNK_BITS} !== seen >> ${CHUNK_BITS}) return;
      left = ticket & ${2 ** CHUNK_BITS - 1};
    }
  };

  postMessage("ready");
  setTimeout(serve, 0);
};
`;
