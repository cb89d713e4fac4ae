/**
 * Operating points: for several levels of agreement, the certified policy and that of the published procedure, each
 * with its results on test documents that played no part in either. Written by lab/playground-data.ts.
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
  /** Absent if the policy was not tested where the points were made. */
  readonly test?: Measured;
}

export interface CertifiedPoint extends Point {
  /** The path of its certificate in the model's folder. */
  readonly certificate: string;
}

export interface OperatingPoint {
  /** The level asked for. */
  readonly agreement: number;
  readonly certified: CertifiedPoint;
  /** For sampled text, by the settings that its policy names; absent if there is no such certificate. */
  readonly sampled?: CertifiedPoint;
  /** No guarantee; absent if it was not calibrated where the points were made. */
  readonly paper?: Point;
}

export interface OperatingPoints {
  readonly format: "early-exits/operating-points";
  readonly version: 3;
  /** A hash of what the points were made from. */
  readonly stamp: string;
  readonly libraryVersion: string;
  readonly model: string;
  /** Absent if there was no test. */
  readonly test?: { readonly documents: number; readonly tokens: number };
  /** By level, ascending. */
  readonly points: readonly OperatingPoint[];
}
