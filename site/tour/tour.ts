/** The cells of the tour, and the worker in which they run in order. */
import { shallowRef } from "vue";
import type { FromCell, RunCell, Shown } from "./protocol.js";

export interface Cell {
  /** Its present text, edits included. */
  readonly code: () => string;
  /** Called when it begins to run. */
  readonly begin: () => void;
  readonly show: (shown: Shown) => void;
  /** Called when it ends, with the reason if it failed. */
  readonly end: (failure?: string) => void;
}

const STOPPED = "Stopped. What earlier cells declared is gone too; run again, and they run first.";

/** One for the page: its cells share a worker, and in it what they declare. */
class Tour {
  /** The number of the cell that runs. */
  readonly running = shallowRef<number | undefined>();
  readonly #cells = new Map<number, Cell>();
  readonly #done = new Set<number>();
  #worker: Worker | undefined;
  #stop: ((reason: Error) => void) | undefined;

  add(number: number, cell: Cell): void {
    this.#cells.set(number, cell);
  }

  /** Also ends the worker with the last cell: the reader left the page. */
  remove(number: number): void {
    this.#cells.delete(number);
    if (this.#cells.size === 0) this.stop();
  }

  /** Runs a cell, and before it those above it that have not run. Without a number: all cells. */
  async run(number: number | undefined, site: string): Promise<void> {
    if (this.running.value !== undefined) return;
    const wanted = [...this.#cells.keys()]
      .sort((a, b) => a - b)
      .filter((other) => number === undefined || other === number || (other < number && !this.#done.has(other)));
    for (const next of wanted) {
      if (!(await this.#runOne(next, site))) return;
    }
  }

  /** Ends the worker, and with it the cell that runs. */
  stop(): void {
    this.#worker?.terminate();
    this.#worker = undefined;
    this.#done.clear();
    this.#stop?.(new Error(STOPPED));
  }

  async #runOne(number: number, site: string): Promise<boolean> {
    const cell = this.#cells.get(number)!;
    this.running.value = number;
    cell.begin();
    try {
      await this.#inWorker({ number, code: cell.code(), site }, cell);
      this.#done.add(number);
      cell.end();
      return true;
    } catch (error) {
      cell.end(error instanceof Error ? error.message : String(error));
      return false;
    } finally {
      this.running.value = undefined;
      this.#stop = undefined;
    }
  }

  #inWorker(request: RunCell, cell: Cell): Promise<void> {
    this.#worker ??= new Worker(new URL("./worker.ts", import.meta.url), { type: "module" });
    const worker = this.#worker;
    return new Promise((resolve, reject) => {
      this.#stop = reject;
      worker.onmessage = ({ data }: MessageEvent<FromCell>) => {
        if (data.kind === "done") resolve();
        else if (data.kind === "failed") reject(new Error(data.message));
        else cell.show(data);
      };
      worker.onerror = ({ message }) => reject(new Error(message || "the worker of this page could not be loaded"));
      worker.postMessage(request);
    });
  }
}

export const tour = new Tour();
