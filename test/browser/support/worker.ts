/**
 * A worker that runs one task by name and posts the result, so that tests on the page can see the library where it
 * belongs, off the page's own thread.
 */
import { generate } from "early-exits";
import { createDevice, readModel } from "early-exits/browser";

export interface Task {
  readonly threads: number;
  readonly url: string;
  readonly ids: readonly number[];
}

export type Answer =
  | {
      readonly ok: true;
      readonly description: string;
      readonly threads: number;
      readonly logits: Float32Array;
      readonly greedy: readonly number[];
    }
  | { readonly ok: false; readonly code: string; readonly message: string };

onmessage = async ({ data: { threads, url, ids } }: MessageEvent<Task>) => {
  try {
    const device = await createDevice("wasm", { threads });
    const model = await readModel(url, { device });
    const logits = await model.logits(ids);
    const run = generate(model, ids, { maxNewTokens: 24, stopAtEndOfText: false });
    for await (const { id } of run) {
      if (id < 0) throw new Error(`id ${id}`);
    }
    answer({
      ok: true,
      description: device.info.description,
      threads: device.info.threads,
      logits,
      greedy: run.summary.ids,
    });
    await device.dispose();
  } catch (error) {
    const { code = "none", message } = error as Error & { readonly code?: string };
    answer({ ok: false, code, message });
  }
};

function answer(value: Answer) {
  postMessage(value);
}
