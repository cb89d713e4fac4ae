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

/** Summary of a certificate that the page shows before it fetches the file. */
export interface CertificateNotes {
  /** Its path in the model's folder. */
  readonly file: string;
  /** The claim is false with at most this probability over the draw of calibration documents. */
  readonly delta: number;
  /** Calibration documents. */
  readonly documents: number;
  /** The claim in words. */
  readonly claim: string;
  /** Conditions of the claim, in words. */
  readonly assumptions: readonly string[];
}

export interface CertifiedPoint extends Point {
  readonly certificate: CertificateNotes;
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

/** Weights stored in some way, with or without exits, against the model's float32 without exits. */
export interface StoredWay {
  /** Sampling of the text, or greedy. */
  readonly text: string;
  readonly dtype: string;
  /** The level certified against float32; absent without exits. */
  readonly level?: number;
  /** Why nothing was certified, if nothing was. */
  readonly refused?: string;
  /** On test documents: share of equal tokens, or 1 - mean total variation. */
  readonly agreement: number;
  /** Times the speed of float32 without exits; absent if nothing was certified. */
  readonly speedup?: number;
}

export interface OperatingPoints {
  readonly format: "early-exits/operating-points";
  readonly version: 2;
  /** A hash of what the points were made from. */
  readonly stamp: string;
  readonly libraryVersion: string;
  readonly model: string;
  /** Absent if there was no test. */
  readonly test?: { readonly documents: number; readonly tokens: number };
  /** Ways of storing the model, measured elsewhere; absent if they were not. */
  readonly stored?: { readonly where: string; readonly ways: readonly StoredWay[] };
  /** By level, ascending. */
  readonly points: readonly OperatingPoint[];
}
