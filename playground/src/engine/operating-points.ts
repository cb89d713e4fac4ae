/**
 * Operating points: for several levels of agreement, the certified policy and that of the paper's procedure, each with
 * its results on test documents that neither the model nor the calibration has seen. Written by lab/playground-data.ts.
 */
import type { Policy } from "early-exits";

/** The results of a policy on the test documents. */
export interface Measured {
  /** Share of all tokens that are the full model's. */
  readonly agreement: number;
  /** Share of all tokens that left at an exit. */
  readonly coverage: number;
  readonly meanDepth: number;
  readonly exits: readonly { readonly depth: number; readonly reached: number; readonly left: number }[];
}

export interface Point {
  readonly policy: Policy;
  readonly test: Measured;
}

export interface OperatingPoint {
  /** The level asked for. */
  readonly agreement: number;
  /**
   * Valid with probability 1 - delta over the draw of calibration documents. It has no exits if none can be certified.
   */
  readonly certified?: Point;
  /** No guarantee. */
  readonly paper: Point;
}

export interface OperatingPoints {
  readonly format: "early-exits/operating-points";
  readonly version: 1;
  /** A hash of what the points were made from. */
  readonly stamp: string;
  readonly libraryVersion: string;
  readonly model: string;
  readonly delta: number;
  readonly documents: { readonly calibration: number; readonly test: number; readonly testTokens: number };
  readonly points: readonly OperatingPoint[];
}

export const leavesNowhere = ({ policy }: Point): boolean =>
  policy.exits.every(({ threshold }) => threshold === "never");
