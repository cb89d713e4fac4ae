/**
 * A law over random cases, put to the test as often as wanted; what came of it goes to the file that LAWS_REPORT names,
 * for lab/laws-lossless.ts.
 */
import fc from "fast-check";
import { writeFileSync } from "node:fs";
import { afterAll } from "vitest";

/** What came of one law. */
export interface CaseLaw {
  readonly law: string;
  /** Random cases, up to the first that broke it. */
  readonly cases: number;
  readonly broken: boolean;
  /** Replicas with bugs must break it. */
  readonly mustBreak: boolean;
  /** What the cases held that put it to the test. */
  readonly seen: string;
}

const laws: CaseLaw[] = [];

/** Writes the laws of a file when its tests have ended. */
export function reportLaws(): void {
  afterAll(() => {
    const path = process.env["LAWS_REPORT"];
    if (path !== undefined) writeFileSync(path, JSON.stringify(laws));
  });
}

/** Checks a property; throws, with what replays it, unless it holds (or breaks, where it must). */
export async function judgeLaw<Case>(
  law: string,
  property: fc.IAsyncProperty<Case>,
  {
    cases,
    mustBreak = false,
    seed,
    seen = () => "",
  }: { readonly cases: number; readonly mustBreak?: boolean; readonly seed?: number; readonly seen?: () => string },
): Promise<void> {
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
