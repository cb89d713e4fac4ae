/**
 * Operating points: for levels of agreement, the policy that was certified and the one that the paper's procedure
 * gives, each with what it did on test documents that neither the model nor the calibration has seen. Written by
 * lab/playground-data.ts.
 */
import type { Policy } from "early-exits";

/** What a policy did on the test documents. */
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
   * Holds with probability 1 - delta over the draw of calibration documents; never exits where nothing could be
   * certified.
   */
  readonly certified?: Point;
  /** No guarantee. */
  readonly paper: Point;
}

export interface OperatingPoints {
  readonly format: "early-exits/operating-points";
  readonly version: 1;
  /** Of what it was made from. */
  readonly stamp: string;
  readonly libraryVersion: string;
  readonly model: string;
  readonly delta: number;
  readonly documents: { readonly calibration: number; readonly test: number; readonly testTokens: number };
  readonly points: readonly OperatingPoint[];
}

export const leavesNowhere = ({ policy }: Point): boolean =>
  policy.exits.every(({ threshold }) => threshold === "never");
