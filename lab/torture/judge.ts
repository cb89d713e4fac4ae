/**
 * One attack: a call that must succeed or throw an error of this library, within a second of processor time (other
 * processes may share the machine; what only waits has a minute), and leave the device as it was. Memory is
 * judged by the whole process (campaign.ts), because a garbage collector shows no single call's.
 */
import { EarlyExitError } from "early-exits";

/** Outcome of an attack. */
export type Verdict = "succeeded" | "refused";

export interface JudgeOptions {
  /** Milliseconds of processor time that an attack may take. @default 1000 */
  readonly limit?: number;
  /** Bytes in use on the device, which must be the same afterwards. */
  readonly used?: (() => number) | undefined;
}

export interface Judged {
  readonly verdict: Verdict;
  /** The error's code. */
  readonly code: string | undefined;
  /** Processor time. */
  readonly milliseconds: number;
}

/** Milliseconds that an attack may last by the clock. A process of low priority waits for seconds by itself. */
const LONGEST = 60_000;

/** Runs an attack. Throws an Error that says what was wrong, if its outcome was. */
export async function judge(attack: () => unknown, { limit = 1000, used }: JudgeOptions = {}): Promise<Judged> {
  const before = used?.();
  const { failure, milliseconds } = await outcomeOf(attack);
  if (failure !== undefined && !(failure instanceof EarlyExitError)) {
    throw new Error(`untyped error: ${failure instanceof Error ? failure.message : typeof failure}`, {
      cause: failure,
    });
  }
  if (milliseconds > limit) {
    throw new Error(`it took ${milliseconds.toFixed(0)} ms, above ${limit} (${failure?.message ?? "it succeeded"})`);
  }
  if (used !== undefined && used() !== before) await requireSteady(attack, used);
  return { verdict: failure === undefined ? "succeeded" : "refused", code: failure?.code, milliseconds };
}

/** The device keeps rooms of its kernels, which the first use of a size makes; a second use must take nothing. */
async function requireSteady(attack: () => unknown, used: () => number): Promise<void> {
  const before = used();
  await outcomeOf(attack);
  const after = used();
  if (after !== before) throw new Error(`the device used ${before} bytes before and ${after} after`);
}

interface Outcome {
  readonly failure: unknown;
  /** Processor time. */
  readonly milliseconds: number;
}

async function outcomeOf(attack: () => unknown): Promise<Outcome> {
  const before = process.cpuUsage();
  const ended = (failure: unknown): Outcome => {
    const { user, system } = process.cpuUsage(before);
    return { failure, milliseconds: (user + system) / 1000 };
  };
  let timer: NodeJS.Timeout | undefined;
  const hanging = new Promise((_, reject) => {
    timer = setTimeout(() => {
      reject(new Error(`it hangs: no end after ${LONGEST} ms`));
    }, LONGEST);
  });
  try {
    await Promise.race([attack(), hanging]);
    return ended(undefined);
  } catch (error) {
    return ended(error ?? new Error("it threw nothing"));
  } finally {
    clearTimeout(timer);
  }
}
