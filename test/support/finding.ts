/** Measurements of laws of calibration, and their limits. */
import { writeFileSync } from "node:fs";
import { afterAll, expect } from "vitest";

/** A number that a law measured, and its limit: a row in the table of lab/laws.ts. */
export interface Finding {
  readonly law: string;
  readonly where: string;
  readonly procedure: string;
  readonly delta: number;
  readonly runs: number;
  readonly measured: number;
  readonly limit: number;
  readonly relation: "at most" | "at least";
  readonly coverage?: number;
}

const findings: Finding[] = [];

/** Writes what the tests of a file find, from now on, to the file that LAWS_REPORT names when they have ended. */
export function reportFound(found: object[]) {
  found.length = 0;
  afterAll(() => {
    const path = process.env["LAWS_REPORT"];
    if (path !== undefined) writeFileSync(path, JSON.stringify(found));
  });
}
export const reportFindings = () => reportFound(findings);

/** Runs of a law; LAWS_SCALE multiplies them. */
export const runsOf = (base: number, most = Infinity) =>
  Math.max(1, Math.min(most, Math.round(base * Number(process.env["LAWS_SCALE"] ?? 1))));

/** The largest share of violations among n runs that a promise at δ permits: δ + 3 standard errors. */
export const permitted = (delta: number, n: number) => delta + 3 * Math.sqrt((delta * (1 - delta)) / n);

/** A promise at δ is broken in no more of the runs than it permits. */
export function expectKept(finding: Omit<Finding, "law" | "limit" | "relation"> & { readonly law?: string }) {
  const limit = permitted(finding.delta, finding.runs);
  check({ law: "violations", ...finding, limit, relation: "at most" });
}

/** Fewest runs of a measurement that must fail, or must be achieved. */
export function expectAtLeast(finding: Omit<Finding, "law" | "relation"> & { readonly law?: string }) {
  check({ law: "must fail", ...finding, relation: "at least" });
}

function check(finding: Finding) {
  findings.push(finding);
  const { law, where, procedure, delta, runs, measured, limit, relation } = finding;
  const facts = `${law}: ${procedure}, ${where}, δ ${delta}, ${runs} runs`;
  if (relation === "at most") expect(measured, facts).toBeLessThanOrEqual(limit);
  else expect(measured, facts).toBeGreaterThanOrEqual(limit);
}
