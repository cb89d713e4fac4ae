/** Audits of served texts: in the order of their requests, after other work. */
import { setTimeout } from "node:timers/promises";
import type { Audit, FinishedText } from "early-exits/calibrate";
import type { Batcher } from "./batcher.js";
import type { ServedText } from "./served-text.js";
import type { ModeRules } from "./ways.js";

/** The share of the time that readings may take while texts are being written. */
const SHARE = 0.02;
/** Milliseconds after which a reading that waits looks again. */
const WAIT = 20;

interface AuditParts extends Pick<ModeRules, "otherwise"> {
  readonly audit?: Audit | undefined;
  readonly stopping: AbortSignal;
  readonly now: () => number;
  readonly log: (line: string) => void;
}

/** Called with every text that exits are to write under a promise. */
export type OnPromised = (promptIds: readonly number[], text: ServedText, user: string | undefined) => Promise<void>;

/**
 * Has the audit read texts, and logs its alarm once. A reading begins when nothing is being written, or while readings
 * have taken less than their share of the time since the first.
 */
export function auditTexts(batcher: Batcher, { audit, stopping, now, log, otherwise }: AuditParts): OnPromised {
  let told = false;
  let since: number | undefined;
  let spent = 0;
  const isBusy = (): boolean => batcher.state.running + batcher.state.queued > 0;
  return async (promptIds, text, user) => {
    if (audit === undefined) return;
    let began: number | undefined;
    const written = async (): Promise<FinishedText | undefined> => {
      const summary = await text.ended;
      if (summary === undefined) return undefined;
      since ??= now();
      while (isBusy() && spent > SHARE * (now() - since) && !stopping.aborted) await setTimeout(WAIT);
      began = now();
      return { promptIds, ids: summary.ids, user };
    };
    try {
      await audit.read(written, { signal: stopping });
    } catch (error) {
      if (!stopping.aborted) log(`error: ${error instanceof Error ? error.message : String(error)}`);
    }
    if (began !== undefined) spent += now() - began;
    if (told || !audit.state.alarm.raised) return;
    told = true;
    const { meanLoss, target, units } = audit.report;
    log(
      `ALARM: in ${units} audited texts that the policy wrote, the mean loss is ${meanLoss.toFixed(4)}; at most ` +
        `${target.toFixed(4)} was promised, for texts like the certificate's; exits are off, answers are ${otherwise}`,
    );
  };
}
