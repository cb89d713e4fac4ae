/** When audits of served texts begin, on a clock of the test's own. */
import type { Audit } from "early-exits/calibrate";
import { expect, it } from "vitest";
import { auditTexts } from "../../apps/serve/audits.js";
import type { Batcher } from "../../apps/serve/batcher.js";
import type { ServedText } from "../../apps/serve/served-text.js";

const READING = 100;

it("audits wait while texts are written, but for 2 % of the time, and begin at once in idle time", async () => {
  let time = 0;
  let running = 1;
  const began: number[] = [];
  const audit = {
    state: { alarm: { raised: false } },
    read: async (text: () => Promise<unknown>) => {
      await text();
      began.push(time);
      time += READING;
    },
  } as unknown as Audit;
  const batcher = {
    get state() {
      return { running, queued: 0 };
    },
  } as unknown as Batcher;
  const now = () => (time += 1000);
  const stopping = new AbortController();
  const read = auditTexts(batcher, { audit, stopping: stopping.signal, now, log: () => undefined, otherwise: "plain" });
  const text = { ended: Promise.resolve({ ids: [1] }) } as unknown as ServedText;
  await read([1], text, undefined);
  expect(began[0]).toBeLessThan(5 * READING + 3000); // nothing was spent so far
  const from = time;
  await read([1], text, undefined);
  expect(time - from).toBeGreaterThan(READING / 0.02);
  running = 0;
  const idle = time;
  await read([1], text, undefined);
  expect(began[2]! - idle).toBeLessThanOrEqual(2000);
});
