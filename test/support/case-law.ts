/**
 * Checks a law on a given number of random cases, and writes the outcome to the file that LAWS_REPORT names, for
 * lab/laws/run-lossless.ts.
 */
import fc from "fast-check";
import { reportFound } from "./finding.js";

/** The outcome of one law. */
export interface CaseLaw {
  readonly law: string;
  /** The number of random cases, up to the first that broke the law. */
  readonly cases: number;
  readonly broken: boolean;
  /** True if the law must break, as it must for replicas with bugs. */
  readonly mustBreak: boolean;
  /** Evidence that the cases test the law. */
  readonly seen: string;
}

/** Options of the check of a law. */
export interface LawOptions {
  readonly cases: number;
  /** @default false */
  readonly mustBreak?: boolean;
  readonly seed?: number;
  /** Evidence that the cases test the law, asked for when they have run. @default nothing */
  readonly seen?: () => string;
}

const laws: CaseLaw[] = [];

/** Writes the laws of a file when its tests have ended. */
export const reportLaws = () => reportFound(laws);

/** Checks a property. Throws, with a seed and path that replay the failure, unless it holds (or breaks, if it must). */
export async function judgeLaw<Case>(
  law: string,
  property: fc.IAsyncProperty<Case>,
  { cases, mustBreak = false, seed, seen = () => "" }: LawOptions,
) {
  const details = await fc.check(property, {
    numRuns: cases,
    ...(seed !== undefined && { seed }),
    ...(mustBreak && { endOnFailure: true }),
  });
  laws.push({ law, cases: details.numRuns, broken: details.failed, mustBreak, seen: seen() });
  if (details.failed === mustBreak) return;
  throw new Error(
    mustBreak
      ? `${law}: ${details.numRuns} cases did not find the bug`
      : `${law}: ${await fc.asyncDefaultReportMessage(details)}`,
  );
}
