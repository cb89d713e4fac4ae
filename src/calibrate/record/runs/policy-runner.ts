/** Runs policies one after another on the same windows of text, and judges their tokens. */
import type { Policy } from "../../../exits/plan/policy.js";

export interface JudgedToken {
  /** undefined if it ran all blocks. */
  readonly exit: number | undefined;
  /** In 1 / lossScale. */
  readonly loss: number;
}

export type OnJudged = (window: number, token: JudgedToken) => void;

export interface PolicyRunner {
  run(policy: Policy, onToken: OnJudged): Promise<void>;
  dispose(): void;
}
