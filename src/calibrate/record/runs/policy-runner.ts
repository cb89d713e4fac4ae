/** The interface of a runner of one policy after another on the same windows of text, and judges its tokens. */
import type { Policy } from "../../../exits/plan/policy.js";

export interface JudgedToken {
  /** undefined if it ran all blocks. */
  readonly exit: number | undefined;
  /** In 1 / lossScale. */
  readonly loss: number;
}

/** Receives what a policy emits at a judged position of a window. */
export type OnJudged = (window: number, token: JudgedToken) => void;

export interface PolicyRunner {
  /** Runs a policy at all judged positions of all windows. */
  run(policy: Policy, onToken: OnJudged): Promise<void>;
  dispose(): void;
}
